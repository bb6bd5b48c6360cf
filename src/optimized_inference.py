"""python -m src.optimized_inference: one clip with our denoising loop."""

from src.cli.inference import inference_app

if __name__ == "__main__":
    inference_app("optimized")(prog_name="python -m src.optimized_inference")
