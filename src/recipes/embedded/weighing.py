"""What counts how much in the stage `transformer`, beside the family's own objective.

Half of the plain error of rendered scenes lies where a move shows what the photograph does not:
nobody can know what is there, so its gradient is noise. How evenly a clip moves counts as
`src/pipelines/steadiness.py` says.
"""

from __future__ import annotations

from torch import Tensor

from src.recipes.embedded.guide import inside, sources


def cell_weights(motions: Tensor, grid: tuple[int, int], side: int, outside: float) -> Tensor:
    """What each latent cell's error counts: 1 where it shows the photograph, else `outside`:
    (B, F, 1, rows, columns).

    motions: (B, F, 2, 3), from the first frame to each. grid: rows and columns of cells. side:
    pixels a cell is wide and high.
    """
    known = inside(sources(motions, grid, side).unflatten(2, grid), grid)
    return (known + outside * ~known)[:, :, None]
