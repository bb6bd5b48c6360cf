"""The measured move is the rendered one."""

import numpy as np
import pytest

from src.metrics.measured_move import fit_similarity, measure
from src.scenes.moves import PRIMITIVES, named_move
from src.scenes.photographs import load_training_photograph
from src.scenes.scene import Layer, Scene

WIDTH, HEIGHT = 144, 96


def _clip(name, speed="medium"):
    canvas = load_training_photograph("coffee")
    placement = np.array([[0.4, 0, -48.0], [0, 0.4, -32.0]])
    return Scene((Layer(canvas, placement),), named_move(name, speed), WIDTH, HEIGHT, 17)


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if name != "handheld"])
def test_names_every_move(name):
    assert measure(_clip(name).frames()).name == name


def test_amounts_follow_speed():
    amounts = [
        measure(_clip("pan left", speed).frames()).amount("pan left")
        for speed in ("slow", "medium", "fast")
    ]
    assert amounts == sorted(amounts)
    assert amounts[1] == pytest.approx(0.22 * WIDTH / 48, rel=0.15)


def test_fit_forgives_an_outlying_object():
    flow = np.zeros((40, 60, 2))
    flow[..., 0] = 2.0
    flow[10:18, 10:24] = [-5.0, 3.0]
    assert fit_similarity(flow)[0] == pytest.approx(2.0, abs=0.05)
    assert np.abs(fit_similarity(flow)[1:]).max() < 0.1
