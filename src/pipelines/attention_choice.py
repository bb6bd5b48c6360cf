"""Which attention kernel is fastest for a model's attention on this machine: measured once, and
kept beside the builds.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import median
from typing import Any

import torch
from loguru import logger
from torch import Tensor
from torch.nn.attention import sdpa_kernel

from src.build_cache.cache import BuildCache
from src.core.devices import machine
from src.core.errors import BadInputError
from src.pipelines.attending import BACKENDS, Attend, optional_attend, torch_attend
from src.pipelines.attention_kernels import OPTIONAL, version_of
from src.pipelines.family import Attention
from src.pipelines.memory import is_out_of_memory

FORMAT = 1
"""Grows where the same question has another answer."""
FOLDER = "attention"
"""Among the builds of models."""
ROUNDS, ENOUGH_S = 7, 5.0
"""Each kernel runs so many times, in turn with the others, and the median counts; no further round
begins after so many seconds, which on a CPU the first one takes.
"""
DEVIATIONS = 8
"""How far a kernel's result may be from torch's own choice, in the dtype's spacing at 1: it rounds
probabilities and result to the dtype once each. What attends to something else is about 1 away,
128 spacings of bfloat16.
"""


def fastest(
    shape: Attention,
    dtype: str,
    device: str,
    kernels: Sequence[str],
    cache: BuildCache | None = None,
) -> str:
    """The kernel that takes least time for one clip's attention (one branch of guidance).

    kernels: names of `BACKENDS` and of optional ones, all of them exact. What refuses the shape, or
    gives another result, is left out. Raises BadInputError where none is left, or memory runs out.
    """
    cache, question = cache or BuildCache(), _question(shape, dtype, device, kernels)
    seconds = _known(cache.recall(FOLDER, question), kernels)
    if seconds is None:
        seconds, left_out = _measured(shape, dtype, device, kernels)
        cache.note(FOLDER, question, {"question": question, "seconds": seconds,
                                      "left_out": left_out})  # fmt: skip
    name = min(seconds, key=lambda kernel: seconds[kernel])
    _tell(
        f"attention kernel {name}, measured fastest here for {shape.tokens:,} tokens in "
        f"{shape.heads} heads of {shape.head_dim}, {dtype}: {_figures(seconds)} ms"
    )
    return name


@lru_cache(maxsize=32)
def _tell(sentence: str) -> None:
    """Once a process: every plan of a batch asks."""
    logger.info(sentence)


def _question(shape: Attention, dtype: str, device: str, kernels: Sequence[str]) -> dict[str, Any]:
    """All that the answer depends on."""
    packages = {name: version_of(OPTIONAL[name].package) for name in kernels if name in OPTIONAL}
    return {
        "format": FORMAT, "shape": [shape.heads, shape.head_dim, shape.tokens], "dtype": dtype,
        "device": device, "kernels": list(kernels), "packages": packages,
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


def _measured(
    shape: Attention, dtype: str, device: str, kernels: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """Median seconds of each kernel, and why others have none."""
    logger.info(f"attention kernels are measured on this machine, once: {', '.join(kernels)}")
    try:
        parts = _random_parts(shape, getattr(torch, dtype), device)
        calls, left_out = _usable(kernels, parts)
        if not calls:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise BadInputError(f"--attention measured finds no kernel for this model: {reasons}")
        return _seconds(calls, device), left_out
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise BadInputError(
            "--attention measured has no room on this device to measure in; close other programs, "
            "or name a kernel"
        ) from error
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()  # what is planned next counts what is free


def _random_parts(shape: Attention, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Queries, keys and values (1, N, heads, D), normal, as a model's norms leave them."""
    generator = torch.Generator(device).manual_seed(0)
    size = (1, shape.tokens, shape.heads, shape.head_dim)
    return [torch.randn(size, generator=generator, dtype=dtype, device=device) for _ in range(3)]


def _usable(
    kernels: Sequence[str], parts: list[Tensor]
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, str]]:
    """Calls of the kernels that take the shape and attend as torch's choice does, each made once,
    so that nothing is left to load or to plan; and why others do not.
    """
    calls, left_out = {}, {}
    with torch.no_grad():
        expected = torch_attend(*parts).float()
        for name in kernels:
            try:
                call = call_of(name, parts)
                if reason := _differs(call().float(), expected, parts[0].dtype):
                    left_out[name] = reason
                else:
                    calls[name] = call
            except (RuntimeError, ValueError, AssertionError, BadInputError) as error:
                if is_out_of_memory(error):
                    raise
                left_out[name] = " ".join(str(error).split())[:160]
    for name, reason in left_out.items():
        logger.warning(f"attention kernel {name} is left out: {reason}")
    return calls, left_out


def call_of(name: str, parts: list[Tensor]) -> Callable[[], Tensor]:
    """One attention by this kernel alone; torch's raise RuntimeError where they do not take it."""
    if name in OPTIONAL:
        attend: Attend = optional_attend(name)
        return lambda: attend(*parts)

    def call() -> Tensor:
        with sdpa_kernel([BACKENDS[name]]):
            return torch_attend(*parts)

    return call


def _differs(made: Tensor, expected: Tensor, dtype: torch.dtype) -> str:
    """How far a result is from torch's, relative, where that is more than rounding."""
    far = float((made - expected).norm() / expected.norm())
    allowed = max(DEVIATIONS * torch.finfo(dtype).eps, 1e-4)
    return "" if far <= allowed else f"its result is {far:.2g} away from torch's"


def _seconds(calls: dict[str, Callable[[], Tensor]], device: str) -> dict[str, float]:
    """On a CPU those of its cores, all threads together: of wall time a busy machine takes any
    share.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        began = clock()
        for number in range(ROUNDS):
            if number and clock() - began > ENOUGH_S:
                break
            for name, call in calls.items():
                taken[name].append(timed(call, device, clock))
    return {name: median(times) for name, times in taken.items()}


def timed(call: Callable[[], Tensor], device: str, clock: Callable[[], float]) -> float:
    """Seconds from the first instruction to the last result."""
    _wait(device)
    began = clock()
    call()
    _wait(device)
    return clock() - began


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _figures(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * each:,.1f}" for name, each in seconds.items())
