"""How far two pictures are apart, in decibels."""

from __future__ import annotations

import numpy as np


def psnr(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB, over `mask` (H, W) where given."""
    error = np.square(first.astype(np.float64) - second.astype(np.float64))
    error = error if mask is None else error[mask]
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-9)))
