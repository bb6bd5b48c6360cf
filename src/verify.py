"""python -m src.verify FILE...: what provenance a file carries, and whether it was changed."""

from src.cli.verify import verify_app

if __name__ == "__main__":
    verify_app()(prog_name="python -m src.verify")
