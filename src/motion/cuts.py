"""Shot cuts: a pair of frames that no motion explains."""

import cv2
import numpy as np

_BINS = 32


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Half the L1 distance between the grey histograms of two (H, W) uint8 pictures, in [0, 1]."""
    a, b = (
        cv2.calcHist([image], [0], None, [_BINS], [0, 256]).ravel() / image.size
        for image in (first, second)
    )
    return float(np.abs(a - b).sum() / 2)


def is_cut(first: np.ndarray, warping_error: float, visible_fraction: float) -> bool:
    """Whether a pair is a cut: even along the flow the pictures differ by a large part of the
    contrast.

    first: (H, W) uint8. warping_error: mean |difference| along the flow, grey levels, over all
    pixels. visible_fraction: share of pixels whose forward and backward flow agree.
    """
    contrast = float(np.abs(first - first.mean()).mean())
    return visible_fraction < 0.6 and warping_error > 0.25 * max(contrast, 8.0)
