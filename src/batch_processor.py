"""python -m src.batch_processor: a file of jobs, one load for all that share it, resumable."""

from src.cli.batch import batch_app

if __name__ == "__main__":
    batch_app()(prog_name="python -m src.batch_processor")
