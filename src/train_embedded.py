"""python -m src.train_embedded: train the embedded model in slices that resume."""

from src.cli.train_embedded import train_embedded_app

if __name__ == "__main__":
    train_embedded_app()(prog_name="python -m src.train_embedded")
