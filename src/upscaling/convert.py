"""Published weights of community networks as safetensors: pickled ones, read without running what
they hold, and Compact networks in ncnn's form.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.core.paths import is_file
from src.pipelines.saving import write_tensors
from src.upscaling.ncnn_pair import ncnn_pair, read_ncnn

WRAPPED = ("params_ema", "params", "state_dict", "model")
"""Keys under which trainers keep the weights, the better ones first."""


def convert(source: Path, target: Path) -> Path:
    """Write the weights of a .pth file, or of ncnn's .param and .bin, as safetensors; the file
    appears whole or not at all.

    Raises MissingFileError, BadInputError for a file that holds more than weights or something
    else, OutputError.
    """
    if not is_file(source):
        raise MissingFileError(f"there is no file at {source}")
    if target.suffix != ".safetensors":
        raise BadInputError(f"--output is {target.name}; its name must end in .safetensors")
    if pair := ncnn_pair(source):
        held, source = read_ncnn(*pair), pair[1]
    else:
        held = {name: value.clone() for name, value in read_weights(source).items()}
    about = {"converted_from": source.name, "converted_sha256": sha256_of(source)}
    return write_tensors(held, target, about, "--output")


def read_weights(source: Path) -> dict[str, Any]:
    """The tensors of a pickled file by name, on the CPU; nothing that it holds is run.

    Raises BadInputError for a file that holds more than weights, or none.
    """
    return _weights(_read(source), source)


def _read(source: Path) -> Any:
    import torch

    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise BadInputError(
            f"{source} holds more than weights, which would run as code; it is refused"
        ) from None
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise BadInputError(
            f"{source} holds no weights: {' '.join(str(error).split())[:200]}"
        ) from None


def _weights(held: Any, source: Path) -> dict[str, Any]:
    import torch

    for key in WRAPPED:
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    items = held.items() if isinstance(held, dict) else ()
    tensors = {
        str(name): value.contiguous() for name, value in items if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise BadInputError(f"{source} holds no weights by name")
    return tensors
