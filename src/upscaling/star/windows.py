"""Which frames, and which part of them, go through the network at once, and how the results are
joined: at every step of the sampler, so that no seam is left to grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from src.upscaling.star.spec import COLUMNS, ROWS, fitting

LENGTH, OVERLAP = 32, 16
"""Frames of a window, and how many of them it shares with the next."""
STRETCHED = LENGTH + LENGTH // 4
"""Frames that the last window may have, so that no short remainder is left."""
SHARED = 16
"""Rows or columns of latents that neighbouring tiles share."""


def windows(frames: int) -> list[tuple[int, int]]:
    """(first, end) of each window of a clip."""
    made, first = [], 0
    while first + STRETCHED < frames:
        made.append((first, first + LENGTH))
        first += LENGTH - OVERLAP
    return [*made, (first, frames)]


def joined_windows(parts: Sequence[Tensor]) -> Tensor:
    """Of two windows that share frames, the first gives the first half of them, the next the rest.

    parts: (F, ...) of each window, in order.
    """
    half, last = OVERLAP // 2, len(parts) - 1
    ends = [len(part) if place == last else len(part) - half for place, part in enumerate(parts)]
    return torch.cat(
        [
            part[half if place else 0 : end]
            for place, (part, end) in enumerate(zip(parts, ends, strict=True))
        ]
    )


@dataclass(frozen=True)
class Tiles:
    """Parts of a picture that overlap: rows and columns of each, (first, end)."""

    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self):
        """Row by row: ((top, bottom), (left, right))."""
        return iter([(rows, columns) for rows in self.rows for columns in self.columns])


def latent_tiles(shape: tuple[int, int], most: int | None) -> Tiles:
    """Tiles of rows and columns of latents, of at most about `most` places each; None takes one.

    A tile keeps the rules that a whole picture keeps (`spec.py`); all are of one size.
    """
    height, width = shape
    if most is None or height * width <= most:
        return Tiles(((0, height),), ((0, width),))
    side = most**0.5
    tall = min(height, _under(max(side, most / width), ROWS))
    wide = min(width, _under(max(side, most / tall), COLUMNS))
    return Tiles(_spread(height, tall), _spread(width, wide))


def _under(places: float, rule: tuple[int, int]) -> int:
    """The largest side that keeps the rule and is about `places`, more than tiles share twice."""
    remainder, divisor = rule
    least = fitting(2 * SHARED + 1, rule)
    return max(least, int(places - remainder) // divisor * divisor + remainder)


def _spread(length: int, side: int) -> tuple[tuple[int, int], ...]:
    """Sides that cover a length, each sharing at least SHARED with the next."""
    if length <= side:
        return ((0, length),)
    count = -(-(length - SHARED) // (side - SHARED))
    firsts = [round(place * (length - side) / (count - 1)) for place in range(count)]
    return tuple((first, first + side) for first in firsts)


class Blend:
    """Adds up tiles, each fading where another one is, by a raised cosine (Hann)."""

    def __init__(self, parts: Tiles, scale: int = 1) -> None:
        self.parts, self.scale = parts, scale
        self._sum: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, made: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """made: (..., h, w) of the tile at these rows and columns, `scale` times as large."""
        if len(self.parts) == 1:
            self._sum = made
            return
        if self._sum is None or self._weight is None:
            shape = (self.scale * self.parts.rows[-1][1], self.scale * self.parts.columns[-1][1])
            self._sum = made.new_zeros((*made.shape[:-2], *shape), dtype=torch.float32)
            self._weight = torch.zeros(shape, device=made.device)
        weight = self._fade(rows, self.parts.rows)[:, None] * self._fade(
            columns, self.parts.columns
        )
        weight = weight.to(made.device)
        place = (
            slice(*(self.scale * end for end in rows)),
            slice(*(self.scale * end for end in columns)),
        )
        self._sum[(..., *place)] += weight * made
        self._weight[place] += weight

    def _fade(self, ends: tuple[int, int], every: Sequence[tuple[int, int]]) -> Tensor:
        """Weights along a side; 1 where no other tile is."""
        place = every.index(ends)
        weight = torch.ones(self.scale * (ends[1] - ends[0]))
        if place:
            shared = self.scale * (every[place - 1][1] - ends[0])
            weight[:shared] *= _rising(shared)
        if place < len(every) - 1:
            shared = self.scale * (ends[1] - every[place + 1][0])
            weight[-shared:] *= _rising(shared).flip(0)
        return weight

    def result(self) -> Tensor:
        assert self._sum is not None
        return self._sum if self._weight is None else self._sum / self._weight


def _rising(count: int) -> Tensor:
    """Half a Hann window: from just above 0 to just below 1."""
    return 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(count) + 0.5) / count)
