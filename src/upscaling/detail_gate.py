"""How far a network's detail is taken over: as its preset says where the source is sharp, not where
it is soft.

In natural pictures an octave of frequencies holds about as much contrast as the one below (Field,
"Relations between the statistics of natural images", JOSA A 1987). Where the finest octave of the
source falls behind, the source was soft or enlarged before: nothing finer was ever there, and what
a network adds to it is false and flickers. There the frame is Catmull and Rom's cubic instead,
which overshoots less than the cubic that the network adds to.
"""

import cv2
import numpy as np

from src.catalog.upscalers import DetailGate

FINE, COARSE, AROUND = 0.7, 1.4, 4.0
"""Deviations in pixels: of the Gaussians that divide the octaves, and of the surroundings that
contrast is taken in.
"""
FLAT = 0.05 / 255**2
"""Contrast squared that counts as none."""
PIXEL = np.dtype("V12")
"""Three float32: moved as one, in half the time."""


def gated(
    made: np.ndarray, source: np.ndarray, scale: int, ramp: DetailGate, least: float = 0.0
) -> np.ndarray:
    """The network's frame, drawn towards the cubic where the source is soft.

    made: (sH, sW, 3), source: (H, W, 3), both float32 in [0, 1]. least: trust that is given
    everywhere.
    """
    trust = np.maximum(gate_of(source, ramp), np.float32(least))
    if trust.min() >= 1:
        return made
    soft = catmull_rom(source, scale)
    made -= soft
    made *= cv2.resize(cv2.merge([trust] * 3), made.shape[1::-1])
    return np.add(made, soft, out=made)


def gate_of(source: np.ndarray, ramp: DetailGate) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] to float32, 0 to ramp.most, of half the size, rounded up."""
    grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
    fine, coarse = cv2.GaussianBlur(grey, (0, 0), FINE), cv2.GaussianBlur(grey, (0, 0), COARSE)
    top, next_one = (_around(band * band) for band in (grey - fine, fine - coarse))
    contrast = np.sqrt(top / (next_one + np.float32(FLAT)))
    return np.float32(ramp.most) * np.clip((contrast - ramp.soft) / (ramp.sharp - ramp.soft), 0, 1)


def catmull_rom(source: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) float32 by the cubic with a = -0.5 (Keys, IEEE TASSP 1981), (sH, sW, 3); the border
    is repeated.
    """
    height, width = source.shape[:2]
    out = np.empty((height * scale, width * scale, 3), np.float32)
    whole = out.view(PIXEL)[..., 0]
    taps = [_taps((place + 0.5) / scale - 0.5) for place in range(scale)]
    for row, down in enumerate(taps):
        for column, across in enumerate(taps):
            made = cv2.sepFilter2D(source, -1, across, down, borderType=cv2.BORDER_REPLICATE)
            whole[row::scale, column::scale] = made.view(PIXEL)[..., 0]
    return out


def _around(energy: np.ndarray) -> np.ndarray:
    """Mean over the surroundings, on half the size."""
    small = cv2.resize(
        energy, [-(-side // 2) for side in energy.shape[::-1]], interpolation=cv2.INTER_AREA
    )
    return cv2.GaussianBlur(small, (0, 0), AROUND / 2)


def _taps(offset: float) -> np.ndarray:
    """Weights of the five pixels around a place `offset` pixels from the middle one."""
    x = np.abs(np.arange(-2, 3) - offset)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(np.float32)
