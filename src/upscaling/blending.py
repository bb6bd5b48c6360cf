"""Overlapping tiles, for networks whose results depend on all that they see: joined by Hann
windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARED = 0.25
"""Of a tile's side that it shares with the next one, at least."""


@dataclass(frozen=True)
class TileArea:
    """Where a tile lies: [top, bottom) by [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    def times(self, factor: int, divisor: int = 1) -> TileArea:
        """The same tile where everything is `factor / divisor` times as large."""
        sides = (self.top, self.bottom, self.left, self.right)
        return TileArea(*(factor * side // divisor for side in sides))

    @property
    def place(self) -> tuple[slice, slice]:
        """Of the tile in a picture: rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def starts(length: int, side: int, grid: int) -> list[int]:
    """Where tiles of a side begin so that they cover an axis and share at least `SHARED` of it.

    length, side: multiples of grid, and so are the beginnings; side may be the longer one.
    """
    if side >= length:
        return [0]
    step = max(grid, int(side * (1 - SHARED)) // grid * grid)
    return [*range(0, length - side, step), length - side]


def tiles(size: tuple[int, int], tile: tuple[int, int], grid: int) -> list[TileArea]:
    """Tiles of at most `tile` (height, width) that cover `size`, row by row."""
    (height, width), (rows, columns) = size, (min(*pair) for pair in zip(size, tile, strict=True))
    return [
        TileArea(top, top + rows, left, left + columns)
        for top in starts(height, rows, grid)
        for left in starts(width, columns, grid)
    ]


def hann(side: int) -> np.ndarray:
    """sin^2(pi (i + 1/2) / side), (side,) float64: nowhere 0."""
    return np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2


class Canvas:
    """Frames of which tiles are the parts. shape: (frames, height, width, channels); every: all
    tiles that will come.

    Weights are shared out beforehand, so that tiles may come in any order and only sums are held.
    """

    def __init__(self, shape: tuple[int, ...], every: list[TileArea]) -> None:
        self.made = np.zeros(shape, np.float32)
        self._alone = len(every) == 1
        self._total = np.zeros(shape[1:3])
        for part in every:
            self._total[part.place] += _window(part)

    def add(self, part: TileArea, frames: np.ndarray, first: int = 0) -> None:
        """Frames (n, h, w, C) of a tile, from frame `first` on."""
        into = self.made[(slice(first, first + len(frames)), *part.place)]
        if self._alone:
            into[:] = frames
            return
        share = (_window(part) / self._total[part.place]).astype(np.float32)
        into += frames * share[None, ..., None]


def _window(part: TileArea) -> np.ndarray:
    height, width = part.size
    return np.outer(hann(height), hann(width))
