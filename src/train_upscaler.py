"""python -m src.train_upscaler: train a super-resolution network in slices that resume."""

from src.cli.train_upscaler import train_upscaler_app

if __name__ == "__main__":
    train_upscaler_app()(prog_name="python -m src.train_upscaler")
