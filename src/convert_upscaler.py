"""python -m src.convert_upscaler: weights of a community network, pickled or in ncnn's form,
become safetensors, once.
"""

from src.cli.convert_upscaler import convert_upscaler_app

if __name__ == "__main__":
    convert_upscaler_app()(prog_name="python -m src.convert_upscaler")
