"""From the mean picture of some frames to an answer: bars off, as it stands, mirrored, then every
scale and offset.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import cv2
import numpy as np

from src.watermark.bch import LENGTH
from src.watermark.keys import MarkKey
from src.watermark.message import AT_ONCE, id_text, words_of
from src.watermark.pattern import HEIGHT, WIDTH, pattern_of
from src.watermark.read import Reading, decoded_id, read_small
from src.watermark.search import found_places

SEARCH_S = 1.4
KNOWN_LEAST = 7.1
"""Deviations at which a known id counts as found: one in 1e12 tries by chance."""
SYNC_AS_IT_STANDS, SYNC_FOUND = 2.8, 5.0
"""Deviations that the known bits must read: where a place is tried, and where it was searched for
among 1e5, so that chance alone reads more.
"""
ASPECTS = (3 / 2, 16 / 9)
"""Of clips that are marked here."""
DARK, EVEN = 40, 10
"""Grey levels: the mean of a bar's line at most, and how much one may vary."""


@dataclass(frozen=True)
class Detection:
    """number: the id. key: the key's id. deviations: how well it fits; chance alone reads 0, give
    or take 1. read: whether it was decoded; else it is a known id that fits. how: what had been
    done to the picture ("as it stands", "mirrored", "cropped", joined by commas).
    """

    number: int
    key: str
    deviations: float
    read: bool
    how: str

    @property
    def id(self) -> str:
        return id_text(self.number)


@dataclass(frozen=True)
class KnownIds:
    """Ids that are registered, of one key."""

    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "KnownIds":
        return cls(tuple(numbers))

    @cached_property
    def words(self) -> np.ndarray:
        """(N, 127) int8 of -1 and 1; made once a reading asks for them."""
        return words_of(self.numbers)

    def best(self, reading: Reading) -> tuple[int, float] | None:
        """The id that fits best, where one fits as chance does not."""
        if not self.numbers:
            return None
        words = np.array_split(self.words, 1 + len(self.numbers) // AT_ONCE)
        bits = reading.bits[:LENGTH].astype(np.float32)
        fits = np.concatenate([part.astype(np.float32) @ bits for part in words])
        fits = fits + reading.bits[LENGTH:].sum()
        place = int(np.argmax(fits))
        fit = float(fits[place] / np.sqrt(len(reading.bits)))
        return (self.numbers[place], fit) if fit >= KNOWN_LEAST else None


def detect_mark(
    mean: np.ndarray,
    keys: Sequence[MarkKey],
    known: Mapping[str, KnownIds] | None = None,
    until: float | None = None,
) -> Detection | None:
    """The mark in the mean of some frames, (H, W) float32 luma 0 to 255, or None. known: by the
    key's id. until: time.monotonic() at which
    the search ends, SEARCH_S from now without one; what comes before it takes a few hundredths.
    """
    views = list(_views(mean))
    asked = [(key, (known or {}).get(key.id, KnownIds())) for key in keys]
    for key, ids in asked:
        for view, how in views:
            reading = read_small(view, pattern_of(key.secret))
            if found := _judged(reading, key, ids, how or "as it stands", SYNC_AS_IT_STANDS):
                return found
    return _searched(views, mean.shape, asked, until or time.monotonic() + SEARCH_S)


def _searched(
    views: list[tuple[np.ndarray, str]],
    shape: tuple[int, ...],
    asked: list[tuple[MarkKey, KnownIds]],
    until: float,
) -> Detection | None:
    aspects = {1.0, *(round(shape[1] / shape[0] / each, 2) for each in ASPECTS)}
    for aspect in sorted(aspects, key=lambda each: abs(each - 1)):
        for key, ids in asked:
            for view, how in views:
                for _, reading in found_places(view, pattern_of(key.secret), aspect, until):
                    told = ", ".join(filter(None, (how, "cropped")))
                    if found := _judged(reading, key, ids, told, SYNC_FOUND):
                        return found
    return None


def _judged(
    reading: Reading, key: MarkKey, known: KnownIds, how: str, sync: float
) -> Detection | None:
    number = decoded_id(reading) if reading.sync >= sync else None
    if number is not None:
        return Detection(number, key.id, reading.fit(number), True, how)
    best = known.best(reading)
    return Detection(best[0], key.id, best[1], False, how) if best else None


def _views(mean: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Small pictures with what was done to them: without bars, the whole, each mirrored too."""
    top, bottom, left, right = without_bars(mean)
    whole, told = (mean, ""), []
    if (bottom - top, right - left) != mean.shape:
        told = [(mean[top:bottom, left:right], "between bars")]
    for picture, how in chain(told, [whole]):
        small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        yield small, how
        yield small[:, ::-1].copy(), ", ".join(filter(None, (how, "mirrored")))


def without_bars(luma: np.ndarray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of what lies between bars: lines that are dark and even to the
    edge. The whole where nothing would be left.
    """
    rows, columns = np.flatnonzero(~_barred(luma)), np.flatnonzero(~_barred(luma.T))
    if len(rows) < luma.shape[0] // 8 or len(columns) < luma.shape[1] // 8:
        return 0, luma.shape[0], 0, luma.shape[1]
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _barred(luma: np.ndarray) -> np.ndarray:
    return (luma.max(axis=1) - luma.min(axis=1) < EVEN) & (luma.mean(axis=1) < DARK)
