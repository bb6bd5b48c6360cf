"""Colours of the source: each channel of a frame gets the source's mean and deviation (AdaIN, Huang
and Belongie, 2017).
"""

import numpy as np

LEAST = 1e-5
"""Added to variances."""


def coloured(made: np.ndarray, source: np.ndarray) -> np.ndarray:
    """made: (H, W, 3), source: (h, w, 3), both float32 in [0, 1]; (H, W, 3) in [0, 1]."""
    mean, deviation = _moments(made)
    wanted, spread = _moments(source)
    moved = (made - mean) * (spread / deviation) + wanted
    return np.clip(moved, 0, 1).astype(np.float32)


def _moments(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) each: mean and deviation, which counts pixels less one."""
    flat = picture.reshape(-1, 3).astype(np.float64)
    variance = flat.var(axis=0, ddof=1) if len(flat) > 1 else np.zeros(3)
    return flat.mean(axis=0), np.sqrt(variance + LEAST)
