"""Rendered clips move exactly as their flow says."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import BadInputError
from src.scenes.canvases import dead_leaves
from src.scenes.moves import PRIMITIVES, Move, named_move, trajectory
from src.scenes.scene import Layer, Scene, compose, invert

WIDTH, HEIGHT = 96, 64
PLACEMENT = np.array([[0.6, 0, -45.0], [0, 0.6, -30.0]])
CANVAS = cv2.GaussianBlur(dead_leaves(320, 210, np.random.default_rng(5)), (0, 0), 2.0)


def _scene(move, *above, num_frames=9):
    return Scene((Layer(CANVAS, PLACEMENT), *above), move, WIDTH, HEIGHT, num_frames)


def _square(nearness=1.0, drift=(0.0, 0.0)):
    alpha = np.zeros(CANVAS.shape[:2], np.uint8)
    alpha[80:130, 120:190] = 255
    return Layer(255 - CANVAS, PLACEMENT, alpha, nearness, drift)


def _explained(frames, flow, occluded, t):
    """Root mean square difference between frame t and frame t + 1 fetched along the flow."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    fetched = cv2.remap(frames[t + 1], columns + flow[t, ..., 0], rows + flow[t, ..., 1],
                        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    error = (fetched.astype(float) - frames[t])[~occluded[t]]
    return np.sqrt(np.mean(error**2))


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if name != "static"])
def test_flow_explains_the_frames(name):
    scene = _scene(named_move(name, "fast"))
    frames, (flow, occluded) = scene.frames(), scene.flow()
    unmoved = np.sqrt(np.mean((frames[4].astype(float) - frames[3]) ** 2))
    assert _explained(frames, flow, occluded, 3) < max(1.5, 0.4 * unmoved)
    assert occluded.mean() < 0.2


def test_static_is_truly_static():
    frames = _scene(Move()).frames()
    assert (frames == frames[0]).all()
    assert not _scene(Move()).flow()[0].any()


def test_nearer_layers_move_more():
    scene = _scene(named_move("pan left"), _square(nearness=1.5))
    owner, (flow, _) = scene.owners(), scene.flow()
    near, far = flow[0][owner[0] == 1], flow[0][owner[0] == 0]
    assert near[:, 0].mean() == pytest.approx(1.5 * far[:, 0].mean(), rel=1e-3)


def test_an_object_hides_what_it_passes():
    scene = _scene(Move(), _square(drift=(3.0, 0.0)))
    owner, (flow, occluded) = scene.owners(), scene.flow()
    hidden = occluded[2] & (owner[2] == 0)
    assert hidden.any()
    assert (owner[3][hidden] == 1).all()
    assert flow[2][owner[2] == 1][:, 0] == pytest.approx(3.0)


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.6, 0.6), st.floats(-40, 40))
def test_invert_undoes(pan, tilt, push, roll):
    matrix = trajectory(Move(pan, tilt, push, roll), 49, WIDTH, HEIGHT)[-1]
    assert compose(invert(matrix), matrix) == pytest.approx(
        np.array([[1, 0, 0], [0, 1, 0]]), abs=1e-9
    )


def test_a_scene_needs_a_background():
    with pytest.raises(BadInputError, match="background"):
        Scene((_square(),), Move(), WIDTH, HEIGHT, 9)
