"""Whether bfloat16 pays on this machine: it does with AMX or a GPU, and not on most other processors."""

import time
from functools import cache

import torch


@cache
def bf16_is_fast(device: torch.device, size: int = 768, margin: float = 1.5) -> bool:
    """True on CUDA with bfloat16, or where a matrix product on the CPU is `margin` times as fast in it.

    Measured once a process: on a busy machine a second look may say otherwise, and a run has one precision.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return _seconds(size, torch.float32) > margin * _seconds(size, torch.bfloat16)


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Operations a second of a matrix product here: (size, size) on a CPU, eight times that side on CUDA."""
    size = size * 8 if device.type == "cuda" else size
    return 2 * size**3 / _seconds(size, dtype, device)


def _seconds(size: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> float:
    """The best of five products of two (size, size) matrices."""
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return best
