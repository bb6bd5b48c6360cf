"""Reading single parts, of classes of diffusers and transformers: whole, or refused by name.

transformers makes up what files lack and diffusers leaves it without memory; either would run, or
fail, far from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.core.errors import BadInputError
from src.core.finite import first_not_finite
from src.core.interrupts import interrupts_kept

TROUBLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError)
"""What the libraries raise for files that do not fit; memory that runs out is among them."""


def read_part(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """One part that is not trained, as `read_whole` reads it."""
    return read_whole(kind, folder, dtype, **options).requires_grad_(False)


def read_whole(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """One part, of a class `kind` of diffusers or transformers, from its own folder, on the CPU.

    options: of `from_pretrained`. Raises BadInputError where it does not load, where its files lack
    tensors or hold some of other shapes, and where numbers are not finite. Tied weights may be
    there once, under either name, and what a class itself leaves out may be lacking.
    """
    from safetensors import SafetensorError

    quieten()
    usual = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True,
             "ignore_mismatched_sizes": True, "output_loading_info": True}  # fmt: skip
    try:
        with interrupts_kept():
            part, told = kind.from_pretrained(folder, **usual | options)
    except (*TROUBLE, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise BadInputError(f"{folder} does not load as a {kind.__name__}: {reason}") from error
    _check_shapes(told["mismatched_keys"], folder)
    _check_lacking([*told["missing_keys"], *_without_memory(part)], folder)
    _check_finite(part, folder)
    return part.eval()


def quieten() -> None:
    """What the libraries would say of loading: bars, and reports of what is judged here."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _without_memory(part: torch.nn.Module) -> list[str]:
    """Names of what the files did not fill: parameters, and buffers that belong to files."""
    return [name for name, value in part.state_dict().items() if value.is_meta]


def _check_lacking(names: Sequence[str], folder: Path) -> None:
    if lacking := sorted(set(names)):
        raise BadInputError(
            f"{folder} has no weights for {len(lacking)} tensors, the first {lacking[0]}; fetch or "
            "copy it again"
        )


def _check_shapes(found: Sequence[tuple[str, Any, Any]], folder: Path) -> None:
    """found: name, shape in the file, shape that the configuration asks for."""
    if others := sorted((name, tuple(there), tuple(asked)) for name, there, asked in found):
        name, there, asked = others[0]
        raise BadInputError(
            f"{folder} holds {len(others)} tensors of other shapes than its config.json asks for, "
            f"the first {name}, {there} for {asked}; fetch or copy it again"
        )


def _check_finite(part: torch.nn.Module, folder: Path) -> None:
    """In the dtype that it runs in."""
    if name := first_not_finite(part.named_parameters()):
        raise BadInputError(
            f"{folder}: {name} holds numbers that are not finite; fetch or train it again"
        )


def load_strictly(module: torch.nn.Module, tensors: Mapping[str, Any], where: Path) -> None:
    """Give a network of our own its tensors. Raises BadInputError where some lack, are too much,
    have other shapes or hold numbers that are not finite.
    """
    own = module.state_dict()
    _check_lacking([name for name in own if name not in tensors], where)
    if more := sorted(set(tensors) - set(own)):
        raise BadInputError(f"{where} holds {len(more)} tensors too much, the first {more[0]}")
    both = [(name, tensors[name].shape, own[name].shape) for name in own]
    _check_shapes([each for each in both if each[1] != each[2]], where)
    module.load_state_dict(tensors)
    _check_finite(module, where)
