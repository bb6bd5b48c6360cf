"""python -m src.baseline_inference: one clip with the stock pipeline, the reference for speed and
quality.
"""

from src.cli.inference import inference_app

if __name__ == "__main__":
    inference_app("baseline")(prog_name="python -m src.baseline_inference")
