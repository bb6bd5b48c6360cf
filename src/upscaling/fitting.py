"""How a network too large for the memory there is runs all the same: whole, streamed from the
machine's memory, or on tiles as well. Decided from counted bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from src.core.errors import OutOfMemoryError
from src.upscaling.runtime import free_memory

SHARE = {"cuda": 0.9, "cpu": 0.5}
"""Of the free memory that a backend plans with. On a CPU frames and encoders need the rest; on a
GPU it is for what cannot be counted: workspaces and fragmentation.
"""


@dataclass(frozen=True)
class Weights:
    """Bytes of weights on the device: whole, and while what denoises streams through it."""

    whole: int = 0
    streamed: int = 0


Tile = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Stage:
    """One kind of forward. peak: bytes beside the weights for a tile. tile: the largest one that is
    wanted, of multiples of the grid.
    """

    peak: Callable[[Tile], int]
    tile: Tile


@dataclass(frozen=True)
class Fit:
    """tiles: what goes through each stage at once. offload: whether weights stream.

    needs: bytes in all, as counted.
    """

    tiles: dict[str, Tile]
    offload: bool
    needs: int


def budget_on(device: str) -> int:
    """Bytes that a backend may take on a device now."""
    return int(SHARE[torch.device(device).type] * free_memory(torch.device(device)))


def fit(weights: Weights, stages: Mapping[str, Stage], budget: int, grid: int) -> Fit:
    """Weights whole where every stage fits untiled; else streamed, and each stage on the largest
    tiles that fit: streaming costs time alone, tiles cost seams too.

    Raises OutOfMemoryError where not even the smallest tile fits.
    """
    whole = weights.whole + max(stage.peak(stage.tile) for stage in stages.values())
    if whole <= budget:
        return Fit({name: stage.tile for name, stage in stages.items()}, False, whole)
    left = budget - weights.streamed
    tiles = {name: _largest(name, stage, left, grid) for name, stage in stages.items()}
    needs = weights.streamed + max(stage.peak(tiles[name]) for name, stage in stages.items())
    return Fit(tiles, weights.streamed < weights.whole, needs)


def _largest(name: str, stage: Stage, left: int, grid: int) -> Tile:
    tile = stage.tile
    while (needs := stage.peak(tile)) > left:
        if (smaller := halved(tile, grid)) == tile:
            raise OutOfMemoryError(
                f"the smallest tile to {name}, {tile[1]}x{tile[0]} pixels, takes {needs / 1e9:.2f} "
                f"GB, and {max(left, 0) / 1e9:.2f} GB are left for it; free memory, or take "
                "another "
                "--upscaler"
            )
        tile = smaller
    return tile


def halved(tile: Tile, grid: int) -> Tile:
    """With half of its longer side, at least four of the grid."""
    height, width = tile
    half = -(-max(tile) // (2 * grid)) * grid
    if half < 4 * grid:
        return tile
    return (half, width) if height >= width else (height, half)
