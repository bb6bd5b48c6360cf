"""What counts how much in the stage `transformer`."""

import torch

from src.recipes.embedded.weighing import cell_weights


def test_what_the_photograph_does_not_show_counts_less():
    shifts = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(1, 2, 1, 1)
    shifts[0, 1, 0, 2] = 8.0  # the picture moved two cells to the right
    counts = cell_weights(shifts, (2, 4), 4, 0.25)
    assert counts.shape == (1, 2, 1, 2, 4)
    assert (counts[0, 0] == 1).all()
    assert counts[0, 1, 0].tolist() == [[0.25, 0.25, 1, 1]] * 2
