"""The filter `label`: the letters AI in the picture, top right, for people to see."""

from functools import lru_cache

import cv2
import numpy as np

from src.engine.filters import each

TEXT, FONT = "AI", cv2.FONT_HERSHEY_DUPLEX
HEIGHT, MARGIN = 0.06, 0.03
"""Of the letters, and around them, as shares of the picture's shorter side."""
LEAST = 12
"""Pixels that letters are high at least."""


def labelled(frame: np.ndarray, index: int) -> np.ndarray:
    """(H, W, 3) with white letters on a dark plate: readable on any ground, bright or dark."""
    plate, drawn = _plate(min(frame.shape[:2]))
    height, width = plate.shape[:2]
    margin = round(MARGIN * min(frame.shape[:2]))
    top, left = margin, frame.shape[1] - width - margin
    if top + height > frame.shape[0] or left < 0:
        return frame
    full = np.iinfo(frame.dtype).max
    ground = frame[top : top + height, left : left + width].astype(np.float32)
    shown = ground * (1 - plate) * (1 - drawn) + drawn * full
    frame[top : top + height, left : left + width] = np.rint(shown).astype(frame.dtype)
    return frame


@lru_cache(maxsize=8)
def _plate(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 1) float32 each: how dark the ground becomes, how much of a letter is there."""
    high = max(LEAST, round(HEIGHT * side))
    scale, thick = cv2.getFontScaleFromHeight(FONT, high), max(1, high // 8)
    (width, _), _ = cv2.getTextSize(TEXT, FONT, scale, thick)
    pad = max(2, high // 3)
    drawn = np.zeros((high + 2 * pad, width + 2 * pad), np.uint8)
    cv2.putText(drawn, TEXT, (pad, pad + high), FONT, scale, 255, thick, cv2.LINE_AA)
    return np.full((*drawn.shape, 1), 0.75, np.float32), drawn[..., None] / np.float32(255)


label_frames = each(labelled)
