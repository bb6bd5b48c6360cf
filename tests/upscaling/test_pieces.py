from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.media.frames import Frame
from src.upscaling.pieces import distinct, pieces

RANDOM = np.random.default_rng(0)
SHOTS = [RANDOM.integers(0, 256, (48, 64, 3)).astype(np.uint8) // (1 + k) for k in range(6)]


def video(lengths):
    """Frames of shots; the pts is the frame's number."""
    shots = [shot for shot, length in enumerate(lengths) for _ in range(length)]
    return [Frame(SHOTS[shot % 6], number) for number, shot in enumerate(shots)], shots


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(1, 10),
)
def test_bodies_cover_every_frame_once_and_stay_in_shot_and_segment(
    lengths, size, context, segment
):
    frames, shots = video(lengths)
    cut = list(pieces(frames, size, context, segment))
    assert [frame.pts for piece in cut for frame in piece.body] == list(range(len(frames)))
    for piece in cut:
        numbers = [frame.pts for frame in piece.frames]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len({shots[n] for n in numbers}) == 1
        body = [frame.pts for frame in piece.body]
        assert len(body) <= size and body[0] // segment == body[-1] // segment
        assert piece.before <= context and piece.after <= context
        wanted = [
            n for n in range(max(0, body[0] - context), body[0]) if shots[n] == shots[body[0]]
        ]
        assert numbers[: piece.before] == wanted
        assert piece.opens == (body[0] == 0 or shots[body[0]] != shots[body[0] - 1])


@pytest.mark.parametrize("first", [4, 8])
def test_going_on_gives_the_pieces_of_the_unbroken_run(first):
    frames, _ = video([3, 6, 4])
    whole = [p for p in pieces(frames, 3, 2, 4) if p.index >= first]
    again = list(pieces(frames[first - 2 :], 3, 2, 4, first))
    assert [(p.index, [f.pts for f in p.frames], p.before, p.after, p.opens) for p in again] == [
        (p.index, [f.pts for f in p.frames], p.before, p.after, p.opens) for p in whole
    ]


def test_duplicates_show_the_frame_they_repeat():
    frames = [Frame(SHOTS[k], n) for n, k in enumerate((0, 0, 1, 1, 1, 0))]
    assert distinct(frames) == ([0, 2, 5], [0, 0, 1, 1, 1, 2])


def test_a_camera_move_is_no_cut():
    from src.scenes.moves import named_move
    from src.scenes.scene import Layer, Scene
    from src.upscaling.shots import is_new_shot, small_grey

    canvas = np.kron(RANDOM.integers(0, 256, (40, 60, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    placement = np.array([[1.0, 0, -100], [0, 1.0, -80]])
    scene = Scene((Layer(canvas, placement),), named_move("pan left", "fast"), 240, 160, 17)
    thumbs = [small_grey(frame) for frame in scene.frames()]
    assert not any(is_new_shot(a, b) for a, b in pairwise(thumbs))
    other = small_grey(np.ascontiguousarray(canvas[:160, :240] // 2))
    assert is_new_shot(thumbs[0], other)
