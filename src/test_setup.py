"""python -m src.test_setup: what works on this machine, what is missing and how to get it."""

from src.cli.setup_check import setup_app

if __name__ == "__main__":
    setup_app()(prog_name="python -m src.test_setup")
