"""How much fine detail a picture shows, and how much of its structure another one keeps."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.metrics import structural_similarity


def sharpness(picture: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean length of the brightness gradient of (H, W, 3) uint8, in grey levels a pixel.

    mask: (H, W) bool; only pixels whose four neighbours lie in it count.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    down, across = np.gradient(grey)
    counted = np.ones(grey.shape, np.uint8) if mask is None else mask.astype(np.uint8)
    counted = cv2.erode(
        counted, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return float(np.hypot(down, across)[counted > 0].mean())


def structure(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None) -> float:
    """SSIM of the brightness of two (H, W, 3) uint8 pictures, over `mask` where given: at most 1.

    Wang et al., 2004, "Image quality assessment: from error visibility to structural similarity".
    """
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    _, similarity = structural_similarity(*grey, full=True, data_range=255)
    return float(similarity.mean() if mask is None else similarity[mask].mean())
