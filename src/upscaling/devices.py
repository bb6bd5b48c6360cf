"""Which device a network runs on."""

from src.core.errors import BadInputError


def find_device(name: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda". Raises BadInputError where CUDA is asked for and absent."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"unknown device {name!r}; known: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError("--device cuda: no CUDA device is visible here; use --device cpu or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
