"""How long each attention kernel takes for a model's attention on this device, and which of them
do not take it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median

import torch
from loguru import logger
from torch import Tensor
from torch.nn.attention import sdpa_kernel

from src.core.errors import BadInputError
from src.pipelines.attending import BACKENDS, Attend, optional_attend, torch_attend
from src.pipelines.attention_kernels import OPTIONAL
from src.pipelines.family import Attention
from src.pipelines.memory import is_out_of_memory

ROUNDS, ENOUGH_S = 7, 5.0
"""Each kernel runs so many times, in turn with the others, and the median counts; no further round
begins after so many seconds, which on a CPU the first one takes.
"""
DEVIATIONS = 8
"""How far a kernel's result may be from torch's own choice, in the dtype's spacing at 1: it rounds
probabilities and result to the dtype once each. What attends to something else is about 1 away,
128 spacings of bfloat16.
"""
REFUSALS = (RuntimeError, ValueError, AssertionError, BadInputError, MemoryError)
PACKAGE_REFUSALS = (*REFUSALS, ImportError, TypeError, OSError)
"""What a kernel of a package may raise besides: a part of it that does not load, another form."""


@dataclass(frozen=True)
class Found:
    """Median seconds of each kernel, and why others have none. short: memory ran out in one of
    them, which says nothing of the next time.
    """

    seconds: dict[str, float]
    left_out: dict[str, str]
    short: bool


def measure_kernels(shape: Attention, dtype: str, device: str, kernels: Sequence[str]) -> Found:
    """Raises BadInputError where no kernel takes the shape, or none finds room."""
    logger.info(f"attention kernels are measured on this machine, once: {', '.join(kernels)}")
    with _given_back(device):
        try:
            parts = _random_parts(shape, getattr(torch, dtype), device)
            calls, left_out, short = _usable(kernels, parts, shape.heads_first)
            if not calls:
                raise _none_left(left_out, short)
            return Found(_seconds(calls, device), left_out, short)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise _none_left({}, short=True) from error


@contextmanager
def _given_back(device: str) -> Iterator[None]:
    """Hand cached memory back: what is planned next counts what is free. What failed inside is told
    before what fails here.
    """
    try:
        yield
    except BaseException:
        with suppress(RuntimeError):  # a card that failed fails at this too
            _empty(device)
        raise
    _empty(device)


def _empty(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def _none_left(left_out: dict[str, str], short: bool) -> BadInputError:
    if short:
        return BadInputError(
            "--attention measured has no room on this device to measure in; close other programs, "
            "or name a kernel"
        )
    reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    return BadInputError(f"--attention measured finds no kernel for this model: {reasons}")


def _random_parts(shape: Attention, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Queries, keys and values (1, N, heads, D), normal, as a model's norms leave them."""
    generator = torch.Generator(device).manual_seed(0)
    size = (1, shape.tokens, shape.heads, shape.head_dim)
    return [torch.randn(size, generator=generator, dtype=dtype, device=device) for _ in range(3)]


def heads_first(parts: list[Tensor]) -> list[Tensor]:
    """The same queries and keys (B, N, heads, D), which lie in memory as (B, heads, N, D); values
    as they are. So diffusers' processor of CogVideoX gives them to torch's kernels.
    """
    query, key, value = parts
    return [part.transpose(1, 2).contiguous().transpose(1, 2) for part in (query, key)] + [value]


def _usable(
    kernels: Sequence[str], parts: list[Tensor], heads_lead: bool
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, str], bool]:
    """Calls of the kernels that take the shape and attend as torch's choice does, each made once,
    so that nothing is left to load or to plan; why others do not; and whether memory ran out.

    Torch's own are given their parts as the model gives them, those of packages (B, N, heads, D).
    """
    calls, left_out, short = {}, {}, False
    for_torch = heads_first(parts) if heads_lead else parts
    with torch.no_grad():
        expected = torch_attend(*for_torch).float()
        for name in kernels:
            given, refusals = (
                (parts, PACKAGE_REFUSALS) if name in OPTIONAL else (for_torch, REFUSALS)
            )
            try:
                call = call_of(name, given)
                if reason := _differs(call().float(), expected, parts[0].dtype):
                    left_out[name] = reason
                else:
                    calls[name] = call
            except refusals as error:
                left_out[name] = " ".join(str(error).split())[:160] or type(error).__name__
                short = short or is_out_of_memory(error)
    for name, reason in left_out.items():
        logger.warning(f"attention kernel {name} is left out: {reason}")
    return calls, left_out, short


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
