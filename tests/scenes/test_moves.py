"""Camera words are the camera's: pan left moves the picture right, and so on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.errors import BadInputError
from src.scenes.moves import PRIMITIVES, SPEEDS, Move, eased_progress, named_move, trajectory

WIDTH, HEIGHT = 240, 160
CENTRE = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])


def _lands(name, point, speed="medium", num_frames=49):
    matrix = trajectory(named_move(name, speed), num_frames, WIDTH, HEIGHT)[-1]
    return matrix[:, :2] @ point + matrix[:, 2]


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("pan left", 0, 1), ("pan right", 0, -1), ("tilt up", 1, 1), ("tilt down", 1, -1)],
)
def test_the_picture_moves_against_the_camera(name, axis, sign):
    moved = _lands(name, CENTRE) - CENTRE
    assert moved[axis] * sign > 20
    assert moved[1 - axis] == pytest.approx(0)


@pytest.mark.parametrize(("name", "larger"), [("push in", True), ("pull out", False)])
def test_push_grows_from_the_centre(name, larger):
    assert _lands(name, CENTRE) == pytest.approx(CENTRE)
    reach = np.linalg.norm(_lands(name, CENTRE + [30, 20]) - CENTRE)
    assert (reach > np.hypot(30, 20)) == larger


@pytest.mark.parametrize(("name", "sign"), [("roll clockwise", -1), ("roll counterclockwise", 1)])
def test_a_clockwise_roll_turns_the_picture_counterclockwise(name, sign):
    right_of_centre = _lands(name, CENTRE + [50, 0]) - CENTRE
    assert np.linalg.norm(right_of_centre) == pytest.approx(50)
    assert right_of_centre[1] * sign > 5  # rows count downwards


def test_static_stays():
    assert PRIMITIVES["static"].is_static
    path = trajectory(named_move("static"), 49, WIDTH, HEIGHT)
    assert path == pytest.approx(np.broadcast_to([[1, 0, 0], [0, 1, 0]], path.shape))


@given(st.sampled_from([name for name in PRIMITIVES if name not in ("static", "handheld")]))
def test_faster_words_move_more(name):
    amounts = [
        np.abs(_lands(name, np.array([200.0, 30.0]), speed) - [200, 30]).max() for speed in SPEEDS
    ]
    assert amounts == sorted(amounts)
    assert amounts[0] < amounts[1] * 0.7


def test_speed_a_frame_is_the_same_for_every_length():
    long = trajectory(named_move("pan left"), 49, WIDTH, HEIGHT)
    short = trajectory(named_move("pan left"), 17, WIDTH, HEIGHT)
    assert long[:17] == pytest.approx(short)


def test_eased_moves_rest_at_both_ends():
    done = eased_progress(49, eased=True)
    assert done[-1] == pytest.approx(1)
    assert done[1] - done[0] < 0.2 * (done[25] - done[24])


def test_a_sway_goes_left_and_right_and_back():
    shift = trajectory(Move(sway=0.1), 49, WIDTH, HEIGHT)[:, :, 2]
    assert shift[[0, 12, 24, 36, 48], 0] == pytest.approx([0, 24, 0, -24, 0])
    assert not shift[:, 1].any()
    assert not Move(sway=0.1).is_static
    assert Move(sway=0.1).seen_at(1.5) == (Move(sway=0.1) + Move(sway=0.1)).scaled(0.75)


def test_moves_add_up():
    both = named_move("push in") + named_move("pan left", "fast")
    assert both == Move(pan=named_move("pan left", "fast").pan, push=named_move("push in").push)


def test_handheld_wanders_by_seed_and_begins_at_rest():
    one, same, other = (
        trajectory(named_move("handheld"), 49, WIDTH, HEIGHT, seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert one[0] == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]))


@pytest.mark.parametrize(("name", "speed"), [("pan upwards", "slow"), ("pan left", "warp")])
def test_unknown_words_are_refused_with_the_known_ones(name, speed):
    with pytest.raises(BadInputError, match=r"there are: .*(push in|medium)"):
        named_move(name, speed)
