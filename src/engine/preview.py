"""Pictures of a clip while it is made: one frame of the clean estimate, decoded, as JPEG."""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from src.pipelines.family import Family

EVERY_S = 1.0
QUALITY = 80


class Previewer:
    """Called with each step's estimate of the clean latents; shows one frame of it, once a second.

    pipe: the loaded pipeline, its VAE on the device. show: takes JPEG bytes.
    """

    def __init__(self, family: Family, pipe: Any, show: Callable[[bytes], None]) -> None:
        self.family, self.pipe, self.show, self._last = family, pipe, show, 0.0

    def __call__(self, step: int, estimate: Tensor) -> None:
        if time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        self.show(jpeg(self.family.loop.picture(self.pipe, estimate)))


def jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
