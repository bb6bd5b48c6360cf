"""The network compiled by torch: one graph for all sizes, kept in `<home>/cache` as the generators'
are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.core.toolchain import missing_for_compiling
from src.pipelines.compiling import BACKEND, keep_compiled
from src.upscaling.builds.forms import Around
from src.upscaling.network import VideoNetwork


def toolchain_lacks(device: str) -> str | None:
    """See `Kind.lacks`."""
    missing = missing_for_compiling(device)
    return f"compiling needs {missing}" if missing else None


class CompiledForm:
    """See `Form`: float32. Compiled at the first frame, a minute on a CPU."""

    name = "compile fp32"

    def __init__(self, network: VideoNetwork) -> None:
        keep_compiled()
        self._features = torch.compile(network.features, backend=BACKEND, dynamic=True)
        self._decode = torch.compile(network.decode, backend=BACKEND, dynamic=True)

    @torch.no_grad()
    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        return self._features(stacked, told)

    @torch.no_grad()
    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        return self._decode(frames, x, around, told)
