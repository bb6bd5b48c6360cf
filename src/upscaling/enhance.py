"""What is done to a network's frame: detail is gated, and what `EnhanceSettings` ask of the output
is carried out.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from src.catalog.upscalers import DetailGate
from src.core.upscale_request import EnhanceSettings
from src.upscaling.detail_gate import gated

LOW = 6.0
"""Deviation, in pixels of the source, of the Gaussian that tells low frequencies from high ones."""
COARSE = 4
"""Low frequencies are found on pictures so many times smaller, which show all of them."""
HALO = 6 / 255
"""How far sharpening may overshoot what surrounds a pixel."""


def enlarge(source: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) float32 by OpenCV's bicubic, the same as the network's skip: (sH, sW, 3)."""
    return cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def finish_frame(
    made: np.ndarray,
    source: np.ndarray,
    scale: int,
    asked: EnhanceSettings,
    gate: DetailGate | None,
) -> np.ndarray:
    """The network's frame with low frequencies from the source and what was asked applied.

    Where the source is soft, detail is left out; but what denoise and deblock took away must not
    come back.
    made: (sH, sW, 3), source: (H, W, 3), both float32 in [0, 1]; `made` is changed in place. gate:
    None for none.
    """
    if gate:
        made = gated(made, source, scale, gate, least=max(asked.denoise, asked.deblock))
    made += lacking_low(made, source)
    if asked.preserve_details:
        lacking = source - _shrunk(made, source.shape)
        made += asked.preserve_details * cv2.resize(lacking, made.shape[1::-1])
    return sharpened(made, asked.sharpen, scale) if asked.sharpen else made


def lacking_low(made: np.ndarray, source: np.ndarray) -> np.ndarray:
    """What `made` lacks of the low frequencies of the source, as large as `made`; found on a
    quarter of the size.
    """
    shape = [-(-side // COARSE) for side in source.shape[:2]]
    low = cv2.GaussianBlur(_shrunk(source, shape) - _shrunk(made, shape), (0, 0), LOW / COARSE)
    return cv2.resize(low, made.shape[1::-1])


def _shrunk(picture: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)


def sharpened(made: np.ndarray, amount: float, scale: int) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32, kept within what the 3x3 surroundings span,
    plus HALO.
    """
    sharp = made + 1.5 * amount * (made - cv2.GaussianBlur(made, (0, 0), 0.6 * scale))
    around = np.ones((3, 3), np.uint8)
    return np.clip(sharp, cv2.erode(made, around) - HALO, cv2.dilate(made, around) + HALO)
