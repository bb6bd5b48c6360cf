"""Sharpness and structure of pictures whose values are known."""

import cv2
import numpy as np
import pytest

from src.metrics.sharpness import sharpness, structure


@pytest.fixture(scope="module")
def picture():
    return cv2.resize(np.random.default_rng(1).integers(0, 255, (12, 16, 3), np.uint8), (128, 96))


def test_a_slope_is_as_sharp_as_it_is_steep():
    slope = np.repeat((3 * np.arange(40, dtype=np.uint8))[None, :, None], 3, axis=2).repeat(
        20, axis=0
    )
    assert sharpness(slope) == pytest.approx(3.0)
    assert sharpness(np.full((9, 9, 3), 80, np.uint8)) == 0


def test_neighbours_outside_the_mask_do_not_count():
    step = np.zeros((20, 20, 3), np.uint8)
    step[:, 10:] = 200
    left = np.zeros((20, 20), bool)
    left[:, :10] = True
    assert sharpness(step, left) == 0
    assert sharpness(step) > 0


def test_structure_is_lost_by_blur_not_by_identity(picture):
    assert structure(picture, picture) == pytest.approx(1.0)
    blurred = cv2.GaussianBlur(picture, (0, 0), 4)
    assert structure(picture, blurred) < 0.95
    half = np.zeros(picture.shape[:2], bool)
    half[:, :64] = True
    mixed = np.where(half[..., None], picture, 255 - picture)
    assert structure(picture, mixed, half & np.roll(half, 8, axis=1)) > structure(picture, mixed)
