"""python -m src.convert_upscaler: pickled weights of a community network become safetensors,
once.
"""

from src.cli.convert_upscaler import convert_upscaler_app

if __name__ == "__main__":
    convert_upscaler_app()(prog_name="python -m src.convert_upscaler")
