"""A camera that moves evenly has no unevenness; one that stops every fourth frame has much."""

import numpy as np
import pytest

from src.metrics.evenness import unevenness
from src.scenes.moves import named_move
from src.scenes.sampler import SceneSampler


@pytest.fixture(scope="module")
def pan():
    sampler = SceneSampler(240, 160, 4, canvases=2)
    return sampler.scene(0, named_move("pan left", "medium"), 49).frames()[:13]


def test_an_even_pan(pan):
    assert unevenness(pan) < 0.1


def test_a_pan_that_stops_and_jumps(pan):
    jumping = pan[np.array([0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12])]
    assert unevenness(jumping) > 1.0
