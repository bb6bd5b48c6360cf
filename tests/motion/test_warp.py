"""Warping and occlusion on flows that are known."""

import numpy as np

from src.motion.warp import visible, warp


def _picture() -> np.ndarray:
    y, x = np.mgrid[0:60, 0:80]
    return (127 + 60 * np.sin(x / 6) + 50 * np.cos(y / 5)).astype(np.uint8)


def _constant(dx: float, dy: float) -> np.ndarray:
    return np.tile(np.float32([dx, dy]), (60, 80, 1))


def test_a_shifted_picture_comes_back_to_its_place():
    first = _picture()
    second = np.roll(first, (2, 5), axis=(0, 1))
    back = warp(second, _constant(5, 2))
    assert np.array_equal(back[:-3, :-6], first[:-3, :-6])


def test_colour_is_warped_like_grey():
    colour = np.repeat(_picture()[..., None], 3, axis=2)
    assert np.array_equal(
        warp(colour, _constant(1.5, 0))[..., 1], warp(_picture(), _constant(1.5, 0))
    )


def test_opposite_flows_are_visible_where_the_target_is_inside():
    seen = visible(_constant(5, 0), _constant(-5, 0))
    assert seen[:, :75].all()
    assert not seen[:, 76:].any()


def test_a_flow_that_does_not_return_is_occluded():
    backward = _constant(-5, 0)
    backward[20:40, 20:40] = 3
    seen = visible(_constant(5, 0), backward)
    assert not seen[25:35, 20:30].any()
    assert seen[:15, :60].all()
