"""Dual TV-L1 optical flow: what a backend is, and which one to take.

The method is Zach, Pock, Bischof, "A duality based approach for realtime TV-L1 optical flow" (DAGM
2007), in the form OpenCV contrib gives it. Three backends compute the same thing:

    opencv   OpenCV contrib's own class, the reference
    numba    fused loops compiled for the CPU, one pair of frames a core
    torch    batched tensors for CUDA, finished pairs masked (runs on the CPU too, slowly)
"""

from typing import Protocol

import numpy as np

from src.core.devices import (
    core_count,  # noqa: F401 - src/recipes/embedded/parts.py takes it here
    may_have_gpu,
)
from src.core.errors import BadInputError
from src.motion.tvl1_params import TVL1Params

BACKENDS = ("opencv", "numba", "torch")


class FlowBackend(Protocol):
    """Computes flow for independent pairs.

    name: one of BACKENDS. batch: pairs worth handing over in one call. workers: calls worth making
    at once, from as many threads.
    """

    name: str
    batch: int
    workers: int

    def flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(N, H, W) uint8, twice -> (N, H, W, 2) float32: (dx, dy) pixels with first(x) = second(x
        + flow).
        """
        ...


def _cuda_present() -> bool:
    """Whether torch sees a GPU; it is not asked, nor imported, where there is no driver."""
    if not may_have_gpu():
        return False
    import torch

    return torch.cuda.is_available()


def flow_backend(name: str = "auto", params: TVL1Params | None = None) -> FlowBackend:
    """The backend called `name`; "auto" is torch where a CUDA device is present, else numba.

    Raises BadInputError for any other name, or for a backend whose package is not installed.
    """
    params = params or TVL1Params()
    if name == "auto":
        name = "torch" if _cuda_present() else "numba"
    if name == "opencv":
        from src.motion.tvl1_opencv import OpenCVFlow

        return OpenCVFlow(params)
    if name == "numba":
        from src.motion.tvl1_numba import NumbaFlow

        return NumbaFlow(params)
    if name == "torch":
        from src.motion.tvl1_torch import TorchFlow

        return TorchFlow(params)
    raise BadInputError(
        f"there is no optical flow backend {name!r}; take auto, {', '.join(BACKENDS)}"
    )
