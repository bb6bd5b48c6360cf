"""Cuts are pairs that no motion explains."""

import numpy as np

from src.motion.cuts import histogram_distance, is_cut


def test_histograms_of_equal_pictures_do_not_differ_and_of_black_and_white_do():
    black, white = np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)
    assert histogram_distance(black, black) == 0
    assert histogram_distance(black, white) == 1


def test_a_cut_needs_both_a_broken_flow_and_a_different_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    assert is_cut(picture, warping_error=40, visible_fraction=0.2)
    assert not is_cut(picture, warping_error=40, visible_fraction=0.95)
    assert not is_cut(picture, warping_error=3, visible_fraction=0.2)
