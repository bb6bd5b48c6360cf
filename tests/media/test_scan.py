"""Fields are seen in pictures of every contrast, and in nothing that is whole."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from src.media.scan import Scan, WeaveReading, compare_fields, judge_scan

HEIGHT, WIDTH, COUNT = 240, 360, 12
ROOM = 320
"""Pixels by which a picture is larger than what is seen of it, each way."""
Y, X = np.mgrid[: HEIGHT + ROOM, : WIDTH + ROOM].astype(float)


def _grain() -> np.ndarray:
    """As photographs have it: contrast at every size, more at the large ones."""
    random, picture = np.random.default_rng(1), np.zeros_like(Y)
    for size in (4, 8, 16, 32, 64):
        small = random.normal(0, size**0.7, (Y.shape[0] // size + 1, Y.shape[1] // size + 1))
        image = Image.fromarray(small.astype(np.float32))
        large = image.resize(
            (small.shape[1] * size, small.shape[0] * size), Image.Resampling.BICUBIC
        )
        picture += np.asarray(large)[: Y.shape[0], : Y.shape[1]]
    return 128 + 3 * picture


def _text() -> np.ndarray:
    image = Image.new("L", Y.shape[::-1], 235)
    for line in range(4, Y.shape[0], 14):
        ImageDraw.Draw(image).text(
            (3, line), "The quick brown fox jumps over 0123 dogs " * 3, fill=20
        )
    return np.asarray(image).astype(float)


PICTURES = {
    "grain": _grain(), "blobs": 128 + 60 * np.sin(X / 7) + 60 * np.sin(Y / 9), "text": _text(),
    "squares": np.where((X // 8 + Y // 8) % 2, 235.0, 16.0),
    "edges": np.where((X + Y) // 16 % 2, 235.0, 16.0), "ramps": 20 + 210 * (Y % 24) / 24,
    "stripes": np.where(Y // 3 % 2, 230.0, 25.0), "lines": np.where(Y % 2, 230.0, 25.0),
    "dust": np.random.default_rng(2).uniform(0, 255, Y.shape),
}  # fmt: skip


def _seen(picture: np.ndarray, time: float, x: float, y: float) -> np.ndarray:
    """The part that is seen, moved by (x, y) pixels a field; between pixels it is blended."""
    left, top = 8 + x * time, 100 + y * time
    at, part_x, part_y = (int(top), int(left)), left % 1, top % 1
    part = picture[at[0] : at[0] + HEIGHT + 1, at[1] : at[1] + WIDTH + 1]
    part = part[:, :-1] * (1 - part_x) + part[:, 1:] * part_x
    return part[:-1] * (1 - part_y) + part[1:] * part_y


@lru_cache(maxsize=2)  # tests of one motion follow each other
def _moving(name, move, first) -> list[np.ndarray]:
    """Every second column of each frame. first: whose field is first; None for whole pictures."""
    frames = []
    for number in range(COUNT):
        frame, late = (_seen(PICTURES[name], 2 * number + field, *move)[:, ::2] for field in (0, 1))
        if first is not None:
            lines = slice(1, None, 2) if first == "top" else slice(0, None, 2)
            frame[lines] = late[lines]
        frames.append(frame - 128)
    return frames


def _frames(name, move, first=None, contrast=1.0, noise=0.0) -> list[np.ndarray]:
    """As `scan_of` sees them."""
    random = np.random.default_rng(3)
    made = (
        128 + frame * contrast + (random.normal(0, noise, frame.shape) if noise else 0)
        for frame in _moving(name, move, first)
    )
    return [np.clip(frame.round(), 0, 255).astype(np.int16) for frame in made]


def _scan(frames) -> Scan:
    marks = [compare_fields(*pair) for pair in pairwise(frames)]
    return judge_scan(False, [mark for mark in marks if mark is not None])


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize(("contrast", "noise"), [(1.0, 0.0), (3.0, 0.0), (0.4, 1.0), (1.0, 4.0)])
@pytest.mark.parametrize(
    ("name", "move"),
    [("grain", (3, 0)), ("grain", (2, 1.3)), ("blobs", (3, 2)), ("squares", (3, 0)),
     ("edges", (3, 0)), ("edges", (0, 3))],
)  # fmt: skip
def test_fields_are_found_whatever_their_contrast(name, move, first, contrast, noise):
    assert _scan(_frames(name, move, first, contrast, noise)) == Scan(True, first, True)


@pytest.mark.parametrize(("contrast", "noise"), [(1.0, 0.0), (3.0, 0.0), (0.4, 3.0), (1.0, 8.0)])
@pytest.mark.parametrize(
    "move",
    [(1, 0), (3, 0), (8, 0), (0.5, 0), (0, 1), (0, 0.5), (0, -0.5), (0, 3), (2, 1.3)],
)
@pytest.mark.parametrize("name", list(PICTURES))
def test_whole_pictures_are_never_taken_for_fields(name, move, contrast, noise):
    assert _scan(_frames(name, move, None, contrast, noise)) == Scan()


def test_flicker_and_what_stands_still_are_whole():
    still = _frames("grain", (0, 0), noise=3.0)
    assert _scan(still) == Scan()
    light = [np.clip(frame + 40 * (number % 2), 0, 255) for number, frame in enumerate(still)]
    assert _scan(light) == Scan()
    random = np.random.default_rng(4)
    assert (
        _scan([random.integers(0, 256, still[0].shape).astype(np.int16) for _ in still]) == Scan()
    )


def test_a_pattern_that_moved_onto_itself_says_nothing():
    assert not WeaveReading(own=4e5, order=0.0, comb=2.0).woven
    assert WeaveReading(own=0.4, order=1.4, comb=1.0).woven
    assert not WeaveReading(own=0.7, order=0.8, comb=0.65).woven
