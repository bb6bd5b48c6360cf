"""How a network too large for the memory there is runs all the same: whole, streamed from the
machine's memory, or on tiles as well. Decided from counted bytes.
"""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True)
class Fit:
    """tile: (height, width) of what goes through at once. offload: whether weights stream.

    needs: bytes in all, as counted.
    """

    tile: tuple[int, int]
    offload: bool
    needs: int


def budget_on(device: str) -> int:
    """Bytes that a backend may take on a device now."""
    return int(SHARE[torch.device(device).type] * free_memory(torch.device(device)))


def fit(
    weights: Weights,
    peak: Callable[[tuple[int, int]], int],
    tile: tuple[int, int],
    budget: int,
    grid: int,
) -> Fit:
    """Weights whole where that fits; else streamed; else streamed on ever smaller tiles.

    peak: bytes beside the weights for a tile. tile: the largest that is wanted, of multiples of
    grid. Streaming comes before tiles: it costs time alone, and tiles cost seams too.
    Raises OutOfMemoryError where not even the smallest tile fits.
    """
    first = weights.whole + peak(tile)
    if first <= budget:
        return Fit(tile, False, first)
    while (needs := weights.streamed + peak(tile)) > budget:
        if (smaller := _halved(tile, grid)) == tile:
            raise OutOfMemoryError(
                f"the smallest tile, {tile[1]}x{tile[0]} pixels, takes {needs / 1e9:.2f} GB, and "
                f"{budget / 1e9:.2f} GB may be taken; free memory, or take another --upscaler"
            )
        tile = smaller
    return Fit(tile, weights.streamed < weights.whole, needs)


def _halved(tile: tuple[int, int], grid: int) -> tuple[int, int]:
    """With half of its longer side, at least four of the grid."""
    height, width = tile
    half = -(-max(tile) // (2 * grid)) * grid
    if half < 4 * grid:
        return tile
    return (half, width) if height >= width else (height, half)
