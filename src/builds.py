"""python -m src.builds list|build|prune|verify: optimised builds of the upscaler's networks."""

from src.cli.builds import builds_app

if __name__ == "__main__":
    builds_app()(prog_name="python -m src.builds")
