"""What counts how much in the stage `transformer`, beside the family's own objective.

Half of the plain error of rendered scenes lies where a move shows what the photograph does not:
nobody can know what is there, so its gradient is noise. And a slow move changes a picture so little
that an error of that size, which makes a clip jerk, is a hundredth of the error of a fast one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.recipes.embedded.guide import inside, sources

LEAST_CHANGE = 0.003
"""Of mean square, what the true change of a clip from frame to frame counts at least: a still clip
is not to be all that counts. A slow pan over a photograph has 0.005.
"""


def cell_weights(motions: Tensor, grid: tuple[int, int], side: int, outside: float) -> Tensor:
    """What each latent cell's error counts: 1 where it shows the photograph, else `outside`:
    (B, F, 1, rows, columns).

    motions: (B, F, 2, 3), from the first frame to each. grid: rows and columns of cells. side:
    pixels a cell is wide and high.
    """
    known = inside(sources(motions, grid, side).unflatten(2, grid), grid)
    return (known + outside * ~known)[:, :, None]


def unsteadiness(
    predicted: Tensor, clean: Tensor, follows: Tensor, counts: Tensor | None
) -> Tensor:
    """The squared error of the change from a frame to the clip's next, over the true change: what
    flickers and jerks, of each clip (B,).

    predicted, clean: (B, F, C, h, w). follows: int64, the frames whose next one is the clip's next;
    0 where none is. counts: (B, F, 1, h, w), what each cell's error counts; None for 1.
    """
    if counts is None:
        counts = torch.ones_like(clean[:, :, :1], dtype=torch.float32)
    weights = (counts[:, 1:] * counts[:, :-1])[:, follows]
    true = clean.float().diff(dim=1)[:, follows]
    off = predicted.float().diff(dim=1)[:, follows] - true
    wrong, moved = ((part.square() * weights).flatten(1).sum(1) for part in (off, true))
    return wrong / (moved + LEAST_CHANGE * clean.shape[2] * weights.flatten(1).sum(1) + 1e-6)
