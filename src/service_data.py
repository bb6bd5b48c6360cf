"""python -m src.service_data check|backup|restore|move: database and files of the HTTP service."""

from src.cli.service_data import service_data_app

if __name__ == "__main__":
    service_data_app()(prog_name="python -m src.service_data")
