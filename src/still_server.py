"""python -m src.still_server: an endpoint that enlarges single pictures, several in one forward."""

from src.cli.still_server import still_server_app

if __name__ == "__main__":
    still_server_app()(prog_name="python -m src.still_server")
