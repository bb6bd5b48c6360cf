"""The small picture that a mark is put into and read from, and what of it counts. Pure."""

from collections.abc import Iterable

import cv2
import numpy as np

from src.watermark.pattern import HEIGHT, WIDTH, Pattern

LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
FLOOR = 2.0
"""Grey levels: texture below this counts as none."""
LOUDEST = 2.5
COARSE, AROUND = 2.5, 2.0
LARGEST = 720
"""Pixels of the longer side that are enough to find bars by."""


def small_luma(frame: np.ndarray, times: int = 1) -> np.ndarray:
    """(120, 180) float32, 0 to 255, of (H, W, 3) RGB, uint8 or uint16; or `times` as large."""
    width, height = WIDTH * times, HEIGHT * times
    down = frame.shape[1] >= width and frame.shape[0] >= height
    kind = cv2.INTER_AREA if down else cv2.INTER_CUBIC
    small = cv2.resize(frame, (width, height), interpolation=kind).astype(np.float32)
    full = np.float32(65535 / 255 if frame.dtype == np.uint16 else 1)
    return cv2.transform(small, LUMA).reshape(height, width) / full


def high(luma: np.ndarray) -> np.ndarray:
    """What is finer than a few pixels of the small picture."""
    return luma - cv2.GaussianBlur(luma, (0, 0), COARSE)


def local_deviation(luma: np.ndarray) -> np.ndarray:
    """(120, 180) float32: the deviation of the fine part around each pixel, in grey levels."""
    return np.sqrt(np.maximum(cv2.GaussianBlur(high(luma) ** 2, (0, 0), AROUND), 0))


def fine_texture(luma: np.ndarray) -> np.ndarray:
    """The same of the nearest pixels alone: what hides a mark right there."""
    fine = luma - cv2.GaussianBlur(luma, (0, 0), 2)
    return np.sqrt(np.maximum(cv2.GaussianBlur(fine**2, (0, 0), 1.5), 0))


def evened(luma: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The fine part with its texture taken out: each part of the picture has as much to say."""
    return high(luma) / scale


def readings(even: np.ndarray, pattern: Pattern) -> np.ndarray:
    """(181,) what the picture says of each bit, in deviations of a picture without a mark."""
    values = cv2.dct(even).flat[pattern.places]
    return pattern.sums(np.clip(values / loudness(values, pattern), -LOUDEST, LOUDEST))


def loudness(values: np.ndarray, pattern: Pattern) -> np.ndarray:
    """(n,) the deviation of the ring that each coefficient is in."""
    counts = np.bincount(pattern.radii)
    power = np.bincount(pattern.radii, values**2) / counts
    return np.sqrt(power + 1e-12)[pattern.radii]


def mean_luma(frames: Iterable[np.ndarray]) -> np.ndarray:
    """(h, w) float32, 0 to 255: the mean of frames (H, W, 3) RGB of any sizes, at the first one's,
    or smaller where that is large.
    """
    total, count = None, 0
    for frame in frames:
        if total is None:
            shrink = min(1.0, LARGEST / max(frame.shape[:2]))
            size = tuple(max(8, round(side * shrink)) for side in frame.shape[1::-1])
            total = np.zeros(size[::-1], np.float32)
        grey = cv2.transform(frame, LUMA * np.float32(255 / np.iinfo(frame.dtype).max))
        total += cv2.resize(grey, size, interpolation=cv2.INTER_AREA).reshape(total.shape)
        count += 1
    if total is None:
        raise ValueError("no frames")
    return total / count
