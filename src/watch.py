"""python -m src.watch FOLDER: photographs that are put into a folder become clips beside them."""

from src.cli.watch import watch_app

if __name__ == "__main__":
    watch_app()(prog_name="python -m src.watch")
