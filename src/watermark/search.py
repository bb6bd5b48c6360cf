"""Where a mark lies in a picture that was cropped, or shows more than the marked one. Pure."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from src.watermark.bch import LENGTH
from src.watermark.pattern import HEIGHT, WIDTH, Pattern
from src.watermark.picture import FLOOR, evened, local_deviation, loudness
from src.watermark.read import Reading, read_small

SCALES = np.linspace(0.74, 1.06, 81)
"""Shares of the marked picture's width that a picture may show; finer than the mark's waves."""
PEAKS, FINER = 4, 2
"""Places that are looked at closely, and how often around each."""
SIZE = (160, 256)
"""Of the Fourier transform: the marked picture with room to slide in."""


@dataclass(frozen=True)
class Alignment:
    """Where a picture lies in the marked one, both as small pictures: scaled by (x, y), then moved
    by left, top.
    """

    x: float
    y: float
    left: float
    top: float

    def put(self, luma: np.ndarray) -> np.ndarray:
        """The small picture in its place; what is not seen continues as a mirror."""
        matrix = np.array([[self.x, 0, self.left], [0, self.y, self.top]])
        return cv2.warpAffine(luma, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC,
                              borderMode=cv2.BORDER_REFLECT)  # fmt: skip

    def near(self, step: float) -> Iterator["Alignment"]:
        """Places around it, `step` small pixels away, and as much larger or smaller."""
        for grow in (-step, 0.0, step):
            x, y = self.x + grow / WIDTH, self.y + grow / WIDTH * self.y / self.x
            for left in (-step, 0.0, step):
                for top in (-step, 0.0, step):
                    yield Alignment(x, y, self.left + left - grow / 2, self.top + top - grow / 3)


def found_places(
    luma: np.ndarray, pattern: Pattern, aspect: float, until: float
) -> Iterator[tuple[Alignment, Reading]]:
    """The likeliest places, best first, with what is read there. luma: (120, 180), what is seen.
    aspect: how much larger a share of the marked picture's width is seen than of its height. until:
    time.monotonic() at which the search ends.
    """
    peaks = _peaks(luma, pattern, aspect, until)
    for _, place in sorted(peaks, key=lambda peak: -peak[0])[:PEAKS]:
        if time.monotonic() < until:
            yield _refined(luma, pattern, place)


def _peaks(
    luma: np.ndarray, pattern: Pattern, aspect: float, until: float
) -> list[tuple[float, Alignment]]:
    """For each scale the offset at which the known bits fit best, in deviations."""
    even = evened(luma, local_deviation(luma) + FLOOR)
    wave = cv2.dft(_padded(_known_wave(even, pattern)))
    peaks = []
    for scale in SCALES:
        if time.monotonic() > until:
            break
        width, height = round(WIDTH * scale), round(HEIGHT * scale / aspect)
        small = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        if height > SIZE[0]:
            continue
        product = cv2.mulSpectrums(wave, cv2.dft(_padded(small)), 0, conjB=True)
        fits = cv2.idft(product, flags=cv2.DFT_SCALE)
        score, left, top = _best(fits, WIDTH - width, HEIGHT - height)
        peaks.append((score, Alignment(width / WIDTH, height / HEIGHT, left, top)))
    return peaks


def _known_wave(even: np.ndarray, pattern: Pattern) -> np.ndarray:
    """(120, 180): the known bits as a picture, each frequency by how much it may say."""
    known = pattern.groups >= LENGTH
    deviation = loudness(cv2.dct(even).flat[pattern.places], pattern)
    spectrum = np.zeros((HEIGHT, WIDTH), np.float32)
    spectrum.flat[pattern.places[known]] = (pattern.signs / deviation)[known]
    return cv2.idct(spectrum)


def _padded(picture: np.ndarray) -> np.ndarray:
    made = np.zeros(SIZE, np.float32)
    made[: picture.shape[0], : picture.shape[1]] = picture
    return made


def _best(fits: np.ndarray, right: int, down: int) -> tuple[float, int, int]:
    """The best fit among the offsets at which one picture lies in the other, in deviations of all
    fits; left, top.
    """
    lefts = np.arange(min(0, right) - 2, max(0, right) + 3)
    tops = np.arange(min(0, down) - 2, max(0, down) + 3)
    there = fits[np.ix_(tops % SIZE[0], lefts % SIZE[1])]
    top, left = np.unravel_index(np.argmax(there), there.shape)
    return float(there[top, left] / fits.std()), int(lefts[left]), int(tops[top])


def _refined(luma: np.ndarray, pattern: Pattern, place: Alignment) -> tuple[Alignment, Reading]:
    """The best place around one, by the known bits."""
    best = place, read_small(place.put(luma), pattern)
    for finer in range(FINER):
        tried = [(near, read_small(near.put(luma), pattern)) for near in best[0].near(0.5**finer)]
        best = max([best, *tried], key=lambda each: each[1].sync)
    return best
