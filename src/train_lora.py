"""Train a LoRA adapter: `accelerate launch src/train_lora.py`, or `python -m src.train_lora`."""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    # Run by path, Python puts src/ first, where our modules would shadow the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from src.cli.train_lora import train_lora_app

    train_lora_app()(prog_name="python -m src.train_lora")
