"""What every upscaler is: a name, and a way from frames of one size to frames of another."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from src.core.plan import Size


class Upscaler(Protocol):
    """Brings a stream of frames to a target size; order and number of frames are kept."""

    name: str

    def upscale(self, frames: Iterable[np.ndarray], target: Size) -> Iterator[np.ndarray]:
        """frames: (H, W, 3) uint8 RGB; yields (target.height, target.width, 3) uint8 RGB."""
        ...
