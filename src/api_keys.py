"""python -m src.api_keys create|revoke|list: the keys of the HTTP service."""

from src.cli.api_keys import api_keys_app

if __name__ == "__main__":
    api_keys_app()(prog_name="python -m src.api_keys")
