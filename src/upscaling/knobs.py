"""What a person may ask of the picture, and how each wish is carried out.

denoise and deblock are told to the network, which was trained with noise and coding of known strength.
preserve_details and sharpen act on its output. Low frequencies always come from the source.
"""

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from src.core.config import Config
from src.upscaling.presets import Trust
from src.upscaling.trust import trusted

Share = Annotated[float, Field(ge=0, le=1)]
LOW = 6.0
"""Deviation, in pixels of the source, of the Gaussian that tells low frequencies from high ones."""
COARSE = 4
"""Low frequencies are found on pictures so many times smaller, which show all of them."""
HALO = 6 / 255
"""How far sharpening may overshoot what surrounds a pixel."""


class Knobs(Config):
    """Each from 0 (off) to 1.

    denoise: how noisy the source is taken to be; 1 is a deviation of 12 grey levels. deblock: how strongly coded; 1 is
    JPEG quality 30. sharpen: unsharp masking of the output, without halos. preserve_details: how much of what the
    output, shrunk again, lacks against the source is put back. steady: how strongly detail follows the motion.
    """

    denoise: Share = 0.0
    deblock: Share = 0.0
    sharpen: Share = 0.0
    preserve_details: Share = 0.0
    steady: Share = 0.0

    @property
    def condition(self) -> tuple[float, float]:
        """What the network is told."""
        return self.denoise, self.deblock


def enlarge(source: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) float32 by OpenCV's bicubic, the same as the network's skip: (sH, sW, 3)."""
    return cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def finish(made: np.ndarray, source: np.ndarray, scale: int, knobs: Knobs, trust: Trust) -> np.ndarray:
    """The network's frame with low frequencies from the source and the knobs applied.

    Where the source is soft, detail is not trusted; but what denoise and deblock took away must not come back.
    made: (sH, sW, 3), source: (H, W, 3), both float32 in [0, 1]; `made` is changed in place. trust: the backend's.
    """
    made = trusted(made, source, scale, trust, least=max(knobs.denoise, knobs.deblock))
    made += _lacking_low(made, source)
    if knobs.preserve_details:
        lacking = source - _shrunk(made, source.shape)
        made += knobs.preserve_details * cv2.resize(lacking, made.shape[1::-1])
    return sharpened(made, knobs.sharpen, scale) if knobs.sharpen else made


def _lacking_low(made: np.ndarray, source: np.ndarray) -> np.ndarray:
    """What `made` lacks of the low frequencies of the source, as large as `made`; found on a quarter of the size."""
    shape = [-(-side // COARSE) for side in source.shape[:2]]
    low = cv2.GaussianBlur(_shrunk(source, shape) - _shrunk(made, shape), (0, 0), LOW / COARSE)
    return cv2.resize(low, made.shape[1::-1])


def _shrunk(picture: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)


def sharpened(made: np.ndarray, amount: float, scale: int) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32, kept within what the 3x3 surroundings span, plus HALO."""
    sharp = made + 1.5 * amount * (made - cv2.GaussianBlur(made, (0, 0), 0.6 * scale))
    around = np.ones((3, 3), np.uint8)
    return np.clip(sharp, cv2.erode(made, around) - HALO, cv2.dilate(made, around) + HALO)
