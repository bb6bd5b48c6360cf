"""python -m src.train_preview: train a model's preview decoder in slices that resume."""

from src.cli.train_preview import train_preview_app

if __name__ == "__main__":
    train_preview_app()(prog_name="python -m src.train_preview")
