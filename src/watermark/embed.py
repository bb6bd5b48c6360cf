"""Put a mark into frames, eight at a time. Pure."""

from collections.abc import Sequence

import cv2
import numpy as np

from src.watermark.message import word_of
from src.watermark.pattern import HEIGHT, SYNC_GROUPS, WIDTH, Pattern, pattern_of
from src.watermark.picture import FLOOR, evened, fine_texture, local_deviation, loudness, small_luma

GROUP = 8
MOST_RMS = 2.42
"""Grey levels, root mean square over the picture, at most: 40.5 dB."""
STEPS, STEP, WEAKER = 16, 0.3, 0.93
STRENGTH = 1.8
"""What each bit should read, in deviations of the picture without a mark."""
SHARE, MOST, QUIET = 1.2, 6.0, 1.0
"""Of the texture that exceeds QUIET (both grey levels), how much the mark may deviate, and the most
grey levels that it may add anywhere.
"""
WINDOW, FLAT = 9, 1.4
"""Pixels of twice the small picture; grey levels of deviation in them that still count as flat."""


def embed_mark(frames: Sequence[np.ndarray], key: bytes, number: int) -> list[np.ndarray]:
    """New frames, (H, W, 3) uint8 or uint16, of one size, with the id `number` in them."""
    small = [small_luma(frame) for frame in frames]
    added = additions(small, key, number)
    return [_added(frame, each) for frame, each in zip(frames, added, strict=True)]


def additions(small: Sequence[np.ndarray], key: bytes, number: int) -> list[np.ndarray]:
    """(120, 180) float32 each: grey levels to add to small pictures that follow each other: one
    wave for all, as high in each as its texture hides.
    """
    limits = [_limit(each) for each in small]
    limit = np.mean(limits, axis=0)
    wave = _wave(np.mean(small, axis=0), limit, pattern_of(key), number)
    return [wave * each for each in limits]


def _wave(mean: np.ndarray, limit: np.ndarray, pattern: Pattern, number: int) -> np.ndarray:
    """(120, 180), -1 to 1: what times `limit` makes every bit of the mean picture read STRENGTH, as
    far as that goes. Bits that the picture says by itself are left.
    """
    scale = local_deviation(mean) + FLOOR
    values = cv2.dct(evened(mean, scale)).flat[pattern.places]
    deviation = loudness(values, pattern)
    host = pattern.sums(values / deviation)
    tilt = np.sqrt(deviation)  # between least energy, which coding takes, and what is seen most
    tilt *= np.mean(deviation**2) / np.mean(deviation * tilt)
    signs = np.concatenate([word_of(number) * 2.0 - 1, np.ones(SYNC_GROUPS)])
    weight = limit**2 / scale
    gain = float(np.mean(weight / scale)) + 1e-6
    made = np.zeros((HEIGHT, WIDTH), np.float32)
    spectrum = np.zeros((HEIGHT, WIDTH), np.float32)
    strength = STRENGTH
    for _ in range(STEPS):
        own = cv2.dct(evened(made, scale)).flat[pattern.places]
        read = host + pattern.sums(own / deviation)
        short = signs * np.maximum(strength - signs * read, 0)
        spectrum.flat[pattern.places] = pattern.spread(short / np.sqrt(pattern.sizes)) * tilt
        made = np.clip(made + weight * cv2.idct(spectrum) * (STEP / gain), -limit, limit)
        loud = float(np.sqrt(np.mean(made**2)))
        if loud > MOST_RMS:  # a little for every bit is read sooner than much for most
            made *= MOST_RMS / loud
            strength *= WEAKER
    return made / np.maximum(limit, 1e-6)


def _limit(luma: np.ndarray) -> np.ndarray:
    """(120, 180) float32: grey levels that may be added where the texture hides them."""
    quiet = cv2.erode(fine_texture(luma), np.ones((5, 5), np.uint8))
    return np.clip(SHARE * (cv2.GaussianBlur(quiet, (0, 0), 1) - QUIET), 0, MOST)


def _hidden(frame: np.ndarray) -> np.ndarray:
    """(240, 360) float32, 0 to 1: 0 where the frame is flat, such as in the sky between branches,
    which the small picture does not show.
    """
    luma = small_luma(frame, 2)
    deviation = cv2.blur(luma**2, (WINDOW, WINDOW)) - cv2.blur(luma, (WINDOW, WINDOW)) ** 2
    return np.clip(np.sqrt(np.maximum(deviation, 0)) / FLAT - 1, 0, 1)


def _added(frame: np.ndarray, added: np.ndarray) -> np.ndarray:
    size = (frame.shape[1], frame.shape[0])
    full = 65535 / 255 if frame.dtype == np.uint16 else 1
    hidden = _hidden(frame)
    double = cv2.resize(added * np.float32(full), hidden.shape[::-1], interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(double * hidden, size, interpolation=cv2.INTER_CUBIC)
    depth = cv2.CV_16U if frame.dtype == np.uint16 else cv2.CV_8U
    return cv2.add(frame, cv2.merge([large] * 3), dtype=depth)
