"""A mark in moving pictures: read back, unseen where they are flat, and never read from others."""

import cv2
import numpy as np
import pytest

from src.core.errors import BadInputError, MissingFileError
from src.scenes.sampler import SceneSampler
from src.watermark.detect import KnownIds, detect_mark, without_bars
from src.watermark.embed import GROUP, embed_mark
from src.watermark.keys import KEY, MarkKey, key_file, known_keys, marking_key
from src.watermark.message import id_for, word_of, words_of
from src.watermark.picture import mean_luma

OURS, OTHER = MarkKey(b"\x01" * 32), MarkKey(b"\x02" * 32)
NUMBER = id_for(OURS.secret, "a plan")
SIZE = (480, 320)


@pytest.fixture(scope="module")
def plain():
    return SceneSampler(*SIZE, 1, canvases=1).clip(0, 16).scene.frames()


@pytest.fixture(scope="module")
def marked(plain):
    return _marked(plain)


def _marked(frames, key=OURS, number=NUMBER):
    groups = [list(frames[at : at + GROUP]) for at in range(0, len(frames), GROUP)]
    return np.stack([each for group in groups for each in embed_mark(group, key.secret, number)])


def found(frames, *keys, known=None):
    return detect_mark(mean_luma(frames), keys or [OURS], known)


def test_the_id_is_read_with_its_key_alone(plain, marked):
    finding = found(marked, OTHER, OURS)
    assert (finding.number, finding.key, finding.read) == (NUMBER, OURS.id, True)
    assert found(marked, OTHER) is None and found(plain) is None


@pytest.mark.parametrize(("change", "how"), [
    (lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), "stands"),
    (lambda frame: cv2.resize(frame, None, fx=2, fy=2), "stands"),
    (lambda frame: frame[:, ::-1], "mirrored"),
    (lambda frame: cv2.copyMakeBorder(frame, 60, 60, 0, 0, cv2.BORDER_CONSTANT), "between bars"),
    (lambda frame: frame[20:308, 30:462], "cropped"),
    (lambda frame: np.clip(frame * 0.7 + 30, 0, 255).astype(np.uint8), "stands"),
])  # fmt: skip
def test_what_is_done_to_a_clip_does_not_remove_it(marked, change, how):
    finding = found([change(frame) for frame in marked])
    assert finding is not None and finding.number == NUMBER and how in finding.how


def test_a_known_id_is_found_where_it_cannot_be_read(plain, marked):
    """At a third of its strength it is not decoded; the right one of a thousand ids fits still."""
    faint = [np.rint(frame * 0.35 + other * 0.65).astype(np.uint8)
             for frame, other in zip(marked, plain, strict=True)]  # fmt: skip
    known = {OURS.id: KnownIds.of([*range(1000), NUMBER])}
    assert found(faint) is None
    finding = found(faint, known=known)
    assert (finding.number, finding.read) == (NUMBER, False)
    assert found(plain, known=known) is None
    assert found(marked, known=known).number == NUMBER


def test_flat_areas_stay_as_they_are(plain):
    """A sky above a textured ground: nothing is added there."""
    frames = plain.copy()
    frames[:, :160] = np.linspace(150, 170, 160, dtype=np.uint8)[None, :, None, None]
    difference = _marked(frames).astype(int) - frames
    sky, ground = difference[:, :140], difference[:, 180:]
    assert np.sqrt(np.mean(sky**2)) <= 0.5 < np.sqrt(np.mean(ground**2))
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 40


def test_deep_frames_are_marked_as_deep(plain):
    deep = plain.astype(np.uint16) * 257
    frames = _marked(deep)
    assert frames.dtype == np.uint16 and found(frames).number == NUMBER


def test_the_same_frames_and_key_make_the_same_mark(plain, marked):
    assert (marked == _marked(plain)).all()


def test_marks_of_others_and_unmarked_frames_read_as_nothing(plain, marked):
    """Each key asks another question: forty of them, of which none finds anything."""
    random = np.random.default_rng(0)
    for number in range(40):
        frames = (plain, marked)[number % 2]
        assert detect_mark(mean_luma(frames), [MarkKey(random.bytes(32))], until=1.0) is None


def test_bars_are_found_and_a_dark_picture_is_none():
    picture = np.zeros((90, 160), np.float32)
    assert without_bars(picture) == (0, 90, 0, 160)
    picture[20:70] = np.random.default_rng(0).uniform(0, 255, (50, 160))
    assert without_bars(picture) == (20, 70, 0, 160)


def test_a_key_is_made_once_and_old_ones_are_still_known(monkeypatch, tmp_path):
    assert known_keys() == ()
    first = marking_key()
    assert marking_key() == first and key_file().stat().st_mode & 0o77 == 0
    new = MarkKey(b"\x05" * 32)
    key_file().write_text(f"{new.secret.hex()}\n{first.secret.hex()}\n")
    assert marking_key() == new and marking_key(first.id) == first
    with pytest.raises(BadInputError, match="was marked with key 00000000"):
        marking_key("00000000")
    key_file().write_text("secret\n")
    with pytest.raises(BadInputError, match="no file of watermark keys"):
        known_keys()
    monkeypatch.setenv(KEY, str(tmp_path / "absent"))
    with pytest.raises(MissingFileError, match=KEY):
        known_keys()


def test_code_words_of_many_ids_are_those_of_each():
    random = np.random.default_rng(1)
    numbers = [0, 1, 2**48 - 1, *random.integers(0, 2**48, 50).tolist()]
    made = words_of(numbers)
    for number, word in zip(numbers, made, strict=True):
        assert (word == word_of(number).astype(np.int8) * 2 - 1).all()
    assert words_of([]).shape == (0, 127)
