"""Read a mark from the frames of a clip. Pure."""

from dataclasses import dataclass

import numpy as np

from src.watermark.bch import LENGTH
from src.watermark.message import id_of, word_of
from src.watermark.pattern import Pattern
from src.watermark.picture import FLOOR, evened, local_deviation, readings
from src.watermark.soft import candidates

TRIED = 4
"""Words whose CRC is looked at."""


@dataclass(frozen=True)
class Reading:
    """bits: (181,) readings. sync: of the known ones together, in deviations."""

    bits: np.ndarray

    @property
    def sync(self) -> float:
        known = self.bits[LENGTH:]
        return float(known.sum() / np.sqrt(len(known)))

    def fit(self, number: int) -> float:
        """How well an id fits, with the known bits, in deviations."""
        signs = word_of(number) * 2.0 - 1
        return float(
            (signs @ self.bits[:LENGTH] + self.bits[LENGTH:].sum()) / np.sqrt(len(self.bits))
        )


def read_small(mean: np.ndarray, pattern: Pattern) -> Reading:
    """Of the mean small picture, as it stands."""
    return Reading(readings(evened(mean, local_deviation(mean) + FLOOR), pattern))


def decoded_id(reading: Reading) -> int | None:
    """The id, where one can be read without knowing it."""
    for word in candidates(reading.bits[:LENGTH], TRIED):
        number = id_of(word)
        if number is not None:
            return number
    return None
