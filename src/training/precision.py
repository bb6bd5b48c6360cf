"""Whether bfloat16 pays on this machine: it does with AMX or a GPU, and not on most other processors."""

import time

import torch


def bf16_is_fast(device: torch.device, size: int = 768, margin: float = 1.5) -> bool:
    """True on CUDA with bfloat16, or where a matrix product on the CPU is `margin` times as fast in it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return _seconds(size, torch.float32) > margin * _seconds(size, torch.bfloat16)


def _seconds(size: int, dtype: torch.dtype) -> float:
    """The best of five products of two (size, size) matrices."""
    left, right = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return best
