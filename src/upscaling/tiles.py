"""Cutting a frame into tiles whose joined results are those of the whole frame."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One axis of a tile, in pixels of the source: [begin, end) is read, [first, last) of it is
    kept.
    """

    begin: int
    end: int
    first: int
    last: int


def cut(length: int, side: int, halo: int, grid: int) -> list[Tile]:
    """Tiles that keep at most `side` pixels each of an axis of `length`, reading `halo` more to
    either side.

    length, side and halo are multiples of grid, so every tile's windows lie where the frame's lie.
    """
    for value in (length, side, halo):
        if value % grid:
            raise ValueError(f"{value} is no multiple of the grid of {grid}")
    starts = range(0, length, side)
    return [
        Tile(max(0, s - halo), min(length, s + side + halo), s, min(length, s + side))
        for s in starts
    ]


def side_for(pixels: int, grid: int, halo: int) -> int:
    """The side that tiles keep where each reads about `pixels` pixels, at least two windows."""
    read = int(pixels**0.5)
    return max(2 * grid, (read - 2 * halo) // grid * grid)
