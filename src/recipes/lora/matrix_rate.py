"""How fast this machine multiplies matrices."""

import time

import torch


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Operations a second of a matrix product here: (size, size) on a CPU, eight times that side on
    CUDA.
    """
    size = size * 8 if device.type == "cuda" else size
    return 2 * size**3 / _seconds(size, dtype, device)


def _seconds(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """The best of five products of two (size, size) matrices."""
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return best
