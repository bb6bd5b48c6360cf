"""python -m src.worker: take jobs from the store and run them, one device a worker."""

from src.worker.command import worker_app

if __name__ == "__main__":
    worker_app()(prog_name="python -m src.worker")
