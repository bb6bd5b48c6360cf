"""How evenly predicted latents move, and between which frames that is asked."""

import pytest
import torch

from src.pipelines.steadiness import LEAST_CHANGE, followed, unsteadiness


def test_what_flickers_is_the_error_of_changes_between_neighbours():
    clean = torch.zeros(2, 4, 1, 1, 1)
    jump = clean.clone()
    jump[:, 2:] = 2.0
    follows = torch.tensor([1, 2])
    moves = clean + torch.arange(4.0).view(1, 4, 1, 1, 1)  # changes by 1 a frame
    everywhere = torch.ones(2, 4, 1, 1, 1)
    share = 1 / (1 + LEAST_CHANGE)
    for true in (clean, moves):
        assert unsteadiness(true + 3.0, true, follows, everywhere).tolist() == [0, 0]
    # 4 at one of the two changes that count, where the true change is 1
    off = unsteadiness(moves + jump, moves, follows, everywhere)
    assert off.tolist() == pytest.approx([2 * share] * 2, rel=1e-4)
    assert torch.equal(off, unsteadiness(moves + jump, moves, follows, None))
    # a still clip counts as one that changes by LEAST_CHANGE
    still = unsteadiness(jump, clean, follows, everywhere)
    assert still.tolist() == pytest.approx([2 / LEAST_CHANGE] * 2, rel=1e-3)
    unseen = everywhere.clone()
    unseen[1, 2] = 0  # neither change at that frame counts
    assert unsteadiness(moves + jump, moves, follows, unseen)[1] == 0
    assert not unsteadiness(jump, clean, torch.tensor([0, 2]), everywhere).any()
    assert not unsteadiness(jump, clean, torch.zeros(0, dtype=torch.int64), everywhere).any()


def test_frames_are_followed_inside_a_token_and_between_neighbours():
    groups = torch.tensor([0, 2, 3])
    # frames 0 0 0 0, 5 6 7 8, 9 10 11 12: three of padding
    assert followed(groups, 4, 3).tolist() == [4, 5, 6, 7, 8, 9, 10]
    # frames 0 0 1 2, 3 4 5 6: one of padding, and the second is right after the photograph's
    assert followed(torch.tensor([0, 1]), 4, 1).tolist() == [1, 2, 3, 4, 5, 6]
    assert followed(torch.tensor([0, 2, 3]), 1, 0).tolist() == [1]
    assert followed(torch.tensor([0, 2, 4]), 1, 0).tolist() == []
