"""python -m src.prepare_refiner: the stored embeddings of SDXL's one prompt, made once."""

from src.cli.prepare_refiner import prepare_refiner_app

if __name__ == "__main__":
    prepare_refiner_app()(prog_name="python -m src.prepare_refiner")
