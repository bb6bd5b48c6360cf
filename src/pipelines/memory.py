"""Generators and memory: small things every run needs on either device."""

import gc

import torch

OUT_OF_MEMORY_SIGNS = (
    "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator",
)  # fmt: skip


def generator_for(seed: int) -> torch.Generator:
    """The one generator of a run; on the CPU, so that a seed means the same noise on
    every device.
    """
    return torch.Generator(device="cpu").manual_seed(seed)


def release() -> None:
    """Collect what is no longer used and hand cached GPU memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; cuBLAS, cuDNN and torch's allocator on a CPU say so in
    RuntimeErrors of their own, Python in MemoryError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in OUT_OF_MEMORY_SIGNS
    )
