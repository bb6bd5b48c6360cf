"""Distill an adapter that needs fewer forwards: `accelerate launch src/distill.py`, or
`python -m src.distill`.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    # Run by path, Python puts src/ first, where our modules would shadow the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from src.cli.distill import distill_app

    distill_app()(prog_name="python -m src.distill")
