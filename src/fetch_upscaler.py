"""python -m src.fetch_upscaler: the published weights of an upscaler, converted and checked,
once.
"""

from src.data_prep.fetch_upscaler import fetch_upscaler_app

if __name__ == "__main__":
    fetch_upscaler_app()(prog_name="python -m src.fetch_upscaler")
