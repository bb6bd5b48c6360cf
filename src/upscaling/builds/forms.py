"""A form of a network: what computes its two parts, whatever library that is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from src.upscaling.network import VideoNetwork, with_neighbours

Around = tuple[Tensor, Tensor, Tensor]
"""Features at half size of the frame before, of the frame itself and of the frame after."""


class Form(Protocol):
    """Computes what `VideoNetwork.features` and `VideoNetwork.decode` compute, on tensors of the
    network's device whose sides are multiples of its grid. Frames of one call are told the same.

    name: runtime and precision, such as "torch bf16".
    """

    name: str

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """See `VideoNetwork.features`."""
        ...

    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        """See `VideoNetwork.decode`; float32."""
        ...


class TorchForm:
    """The network itself. half: matrices and convolutions in bfloat16; where frames are sampled
    stays in float32 (`alignment.py`).
    """

    def __init__(self, network: VideoNetwork, half: bool = False) -> None:
        self.network, self.half = network, half
        self.device = next(network.parameters()).device.type
        self.name = f"torch {'bf16' if half else 'fp32'}"

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        with self._arithmetic():
            return self.network.features(stacked, told)

    def decode(self, frames: Tensor, x: Tensor, around: Around, told: Tensor) -> Tensor:
        with self._arithmetic():
            return self.network.decode(frames, x, around, told)

    def _arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.half)


@torch.inference_mode()
def enlarge_with(form: Form, frames: Tensor, told: Tensor) -> Tensor:
    """A whole clip (T, 3, H, W) to (T, 3, sH, sW),
    frame by frame as the runner does it on a CPU.
    """
    parts = [form.features(one[None], told) for one in with_neighbours(frames[None])[0]]
    made = [
        form.decode(frame[None], parts[t][0], features_around(parts, t), told)
        for t, frame in enumerate(frames)
    ]
    return torch.cat(made)


def features_around(parts: Sequence[tuple[Tensor, Tensor]], t: int) -> Around:
    """The features at half size around frame t, of what `features` gave of every frame."""
    before, own, after = (parts[min(max(t + step, 0), len(parts) - 1)][1] for step in (-1, 0, 1))
    return before, own, after
