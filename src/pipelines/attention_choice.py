"""Which attention kernel is fastest for a model's attention on this machine: measured once, and
kept beside the builds.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from loguru import logger

from src.build_cache.cache import BuildCache
from src.build_cache.key import short_digest
from src.core.devices import cpu_field, machine
from src.core.errors import OutputError
from src.pipelines.attention_kernels import OPTIONAL, version_of
from src.pipelines.attention_measuring import measure_kernels
from src.pipelines.family import Attention

FORMAT = 2
"""Grows where the same question has another answer."""
FOLDER = "attention"
"""Among the builds of models."""
_unkept: dict[str, dict[str, float]] = {}
"""Seconds of this process alone, by question: those for which memory was short."""


def fastest(
    shape: Attention,
    dtype: str,
    device: str,
    kernels: Sequence[str],
    cache: BuildCache | None = None,
) -> str:
    """The kernel that takes least time for one clip's attention (one branch of guidance).

    kernels: names of `BACKENDS` and of optional ones, all of them exact; a single one is taken as
    it is. What refuses the shape, gives another result or finds no room is left out. Raises
    BadInputError where none is left, and OutputError where what is found cannot be kept.
    """
    if len(kernels) == 1:
        _tell(f"attention kernel {kernels[0]}: for {shape.tokens:,} tokens here is no other")
        return kernels[0]
    try:
        seconds = _asked(cache or BuildCache(), shape, dtype, device, kernels)
    except OutputError as error:
        raise OutputError(
            f"--attention measured keeps its figures, and {error}; move the folder with "
            "NEWSREEL_HOME, or name a kernel"
        ) from error
    name = min(seconds, key=lambda kernel: seconds[kernel])
    _tell(
        f"attention kernel {name}, measured fastest here for {shape.tokens:,} tokens in "
        f"{shape.heads} heads of {shape.head_dim}, {dtype}: {_figures(seconds)} ms"
    )
    return name


def _asked(
    cache: BuildCache, shape: Attention, dtype: str, device: str, kernels: Sequence[str]
) -> dict[str, float]:
    """Seconds by kernel, from the note or measured. One process measures at a time: two would take
    each other's card, or its memory.
    """
    question = _question(shape, dtype, device, kernels)
    if seconds := _recalled(cache, question, kernels):
        return seconds
    with cache.alone(FOLDER):
        if seconds := _recalled(cache, question, kernels):
            return seconds
        found = measure_kernels(shape, dtype, device, kernels)
        if found.short:
            _unkept[short_digest(question)] = found.seconds
        else:
            cache.note(FOLDER, question, {"question": question, "seconds": found.seconds,
                                          "left_out": found.left_out})  # fmt: skip
    return found.seconds


def _recalled(cache: BuildCache, question: Any, kernels: Sequence[str]) -> dict[str, float] | None:
    known = _known(cache.recall(FOLDER, question), kernels)
    return known or _unkept.get(short_digest(question))


@lru_cache(maxsize=32)
def _tell(sentence: str) -> None:
    """Once a process: every plan of a batch asks."""
    logger.info(sentence)


def _question(shape: Attention, dtype: str, device: str, kernels: Sequence[str]) -> dict[str, Any]:
    """All that the answer depends on."""
    packages = {name: version_of(OPTIONAL[name].package) for name in kernels if name in OPTIONAL}
    return {
        "format": FORMAT, "shape": [shape.heads, shape.head_dim, shape.tokens], "dtype": dtype,
        "heads_first": shape.heads_first, "device": device, "kernels": list(kernels),
        "packages": packages, "processor": cpu_field("model name") if device == "cpu" else "",
        "torch": torch.__version__, "threads": torch.get_num_threads() if device == "cpu" else 0,
    } | machine(device)  # fmt: skip


def _known(note: Any, kernels: Sequence[str]) -> dict[str, float] | None:
    """Seconds by kernel of a note; None where it is not one, and is to be measured anew."""
    seconds = note.get("seconds") if isinstance(note, dict) else None
    whole = (
        isinstance(seconds, dict)
        and seconds
        and all(
            name in kernels and isinstance(value, float) and value > 0
            for name, value in seconds.items()
        )
    )
    return seconds if whole else None


def _figures(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * each:,.1f}" for name, each in seconds.items())
