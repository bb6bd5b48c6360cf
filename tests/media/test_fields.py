"""Interlaced pictures are found, by their flags and by looking, and become the pictures they were
woven of.
"""

from fractions import Fraction

import av
import numpy as np
import pytest

from src.core.errors import BadInputError
from src.media.reader import VideoReader
from src.media.scan import Scan, WeaveReading, compare_fields, judge_scan

FLAGS = ("-flags", "+ilme+ildct")


def _moving(count: int = 24, height: int = 96, width: int = 128) -> np.ndarray:
    """(F, H, W, 3): smooth blobs that move by three pixels a picture, as no still pattern does."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    frames = [
        128 + 60 * np.sin((x - 3 * t) / 7) + 60 * np.sin((y + 2 * t) / 9) for t in range(count)
    ]
    return np.repeat(np.clip(frames, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def _woven(frames: np.ndarray, first: str) -> np.ndarray:
    """Two pictures each become one: its even lines of the earlier one where the top
    field is first.
    """
    made = frames[0::2].copy()
    late = slice(1, None, 2) if first == "top" else slice(0, None, 2)
    made[:, late] = frames[1::2, late]
    return made


def _write(path, frames, **options) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"crf": "4", "preset": "ultrafast"} | options
        )
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_pictures_woven_of_two_fields_are_found_without_a_flag(tmp_path, first):
    _write(tmp_path / "a.mp4", _woven(_moving(), first))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert reader.scan == Scan(True, first, True)


def test_whole_pictures_are_left_alone_whatever_their_flag(tmp_path):
    frames = _moving()
    _write(tmp_path / "plain.mp4", frames)
    _write(tmp_path / "flagged.mp4", frames, **{"x264-params": "tff=1"})
    noise = np.random.default_rng(0).integers(0, 256, (24, 96, 128, 3)).astype(np.uint8)
    _write(tmp_path / "noise.mp4", noise)
    for name, scan in (("plain", Scan()), ("flagged", Scan(measured=True)), ("noise", Scan())):
        with VideoReader(tmp_path / f"{name}.mp4") as reader:
            assert reader.scan == scan, name
            assert len(list(reader)) == 24


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("flagged", [True, False])
def test_each_field_becomes_the_picture_it_was_of(tmp_path, first, flagged, ffmpeg):
    frames = _moving()
    _write(tmp_path / "a.mp4", _woven(frames, first))
    if flagged:
        (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
        ffmpeg(
            "-i",
            tmp_path / "b.mp4",
            "-vf",
            f"setfield={first[0]}ff",
            *FLAGS,
            "-crf",
            4,
            tmp_path / "a.mp4",
        )
    for mode, step in (("field", 1), ("frame", 2)):
        with VideoReader(tmp_path / "a.mp4", interlaced=mode) as reader:
            made = list(reader)
            info = reader.info
        times = [float(frame.pts * info.time_base) for frame in made]
        assert times == pytest.approx([n / 50 for n in range(0, 24, step)], abs=1e-4)
        assert info.rate == 50 / step
        apart = np.abs(np.stack([f.array for f in made]).astype(int) - frames[::step])[2:-2].mean()
        combed = np.abs(_woven(frames, first).astype(int) - frames[::2]).mean()
        assert apart < 0.35 * combed, (apart, combed)


def test_refused_where_asked(tmp_path):
    _write(tmp_path / "a.mp4", _woven(_moving(), "top"), **{"x264-params": "tff=1"})
    with pytest.raises(BadInputError, match="is interlaced, and --interlaced is refuse"):
        VideoReader(tmp_path / "a.mp4", interlaced="refuse")


def test_a_few_still_pictures_do_not_overrule_a_flag():
    assert judge_scan(True, []) == Scan(True)
    assert judge_scan(True, [WeaveReading(0.1, 1.0)] * 7) == Scan(True)
    assert judge_scan(True, [WeaveReading(0.1, 1.0)] * 8) == Scan(measured=True)
    # fields in order, though little combed
    assert judge_scan(True, [WeaveReading(0.1, 1.4)] * 30) == Scan(True)
    assert judge_scan(False, [WeaveReading(1.0, 1.5)] * 8) == Scan(True, "top", True)
    assert judge_scan(False, [WeaveReading(1.0, 1.5)] * 6 + [WeaveReading(1.0, 1.0)] * 2) == Scan()


def test_what_stands_still_says_nothing():
    picture = np.zeros((32, 32), np.int16)
    assert compare_fields(picture, picture) is None


def test_interlaced_pictures_amid_a_progressive_video_are_made_progressive_and_told(
    tmp_path, ffmpeg
):
    plain, woven = tmp_path / "a.m2v", tmp_path / "b.m2v"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2", "-c:v", "mpeg2video",
           "-pix_fmt", "yuv420p", "-bf", 0, plain)  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=50:duration=1", "-vf",
           "tinterlace=interleave_top", "-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-bf", 0,
           *FLAGS, woven)  # fmt: skip
    both = tmp_path / "both.m2v"
    both.write_bytes(plain.read_bytes() + woven.read_bytes())
    with VideoReader(both, interlaced="field") as reader:
        count = len(list(reader))
        assert (
            count == sum(2 if flag else 1 for flag in _flags(both)) > 90
            and "interlaced pictures, made progressive" in reader.notes[0]
        )
    with (
        VideoReader(both, interlaced="refuse") as reader,
        pytest.raises(BadInputError, match="refuse"),
    ):
        list(reader)


def _flags(path) -> list[bool]:
    with av.open(str(path)) as container:
        return [bool(frame.interlaced_frame) for frame in container.decode(video=0)]


def test_a_flag_with_the_wrong_order_of_fields_is_put_right(tmp_path, ffmpeg):
    _write(tmp_path / "a.mp4", _woven(_moving(), "top"))
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", "setfield=bff", *FLAGS, "-crf", 4, tmp_path / "b.mp4")
    with VideoReader(tmp_path / "b.mp4", interlaced="field") as reader:
        assert reader.scan == Scan(True, "top")
        made = np.stack([frame.array for frame in reader]).astype(int)
    assert np.abs(made - _moving())[2:-2].mean() < 3


def test_a_lone_interlaced_picture_gives_two_half_a_frame_apart(tmp_path):
    _write(tmp_path / "a.mp4", _woven(_moving(2), "top"), **{"x264-params": "tff=1"})
    with VideoReader(tmp_path / "a.mp4", interlaced="field") as reader:
        assert [float(f.pts * reader.info.time_base) for f in reader] == pytest.approx([0, 0.02])


def _pulled_down(frames: np.ndarray, first: str) -> np.ndarray:
    """Five pictures of each four: A, B, B with C, C with D, D."""
    made, late = [], slice(1, None, 2) if first == "top" else slice(0, None, 2)
    for number in range(0, len(frames) - 3, 4):
        a, b, c, d = frames[number : number + 4]
        for one, other in ((a, a), (b, b), (b, c), (c, d), (d, d)):
            picture = one.copy()
            picture[late] = other[late]
            made.append(picture)
    return np.array(made)


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_film_in_pulldown_gets_its_own_pictures_again(tmp_path, first):
    film = _moving(24)
    _write(tmp_path / "film.mp4", _pulled_down(film, first))
    with VideoReader(tmp_path / "film.mp4", interlaced="field") as reader:
        assert reader.scan == Scan(first=first, measured=True, film=True)
        found = list(reader)
    assert [frame.pts for frame in found] == [number * found[1].pts for number in range(len(found))]
    assert len(found) == 30
    far = [min(np.abs(frame.array.astype(int) - own).mean() for own in film) for frame in found]
    assert max(far) < 4
    with pytest.raises(BadInputError, match="film in 3:2 pulldown"):
        VideoReader(tmp_path / "film.mp4", interlaced="refuse")


def test_pictures_that_stand_twice_are_no_pulldown(tmp_path):
    twice = np.repeat(_moving(12), 2, axis=0)
    _write(tmp_path / "twice.mp4", twice)
    with VideoReader(tmp_path / "twice.mp4") as reader:
        assert reader.scan == Scan()


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_fields_that_begin_later_are_found(tmp_path, first):
    plain, woven = _moving(40), _woven(_moving(120)[40:], first)
    _write(tmp_path / "late.mp4", np.concatenate([plain, woven]), g="10")
    with VideoReader(tmp_path / "late.mp4") as reader:
        found = reader.scan
    assert (found.interlaced, found.first, found.measured) == (True, first, True)
    assert found.since > 1.0
    assert "is interlaced at" in found.sentence
    _write(tmp_path / "plain.mp4", _moving(80), g="10")
    with VideoReader(tmp_path / "plain.mp4") as reader:
        assert reader.scan == Scan()


def test_a_flag_that_is_wrong_at_first_is_not_wrong_for_ever(tmp_path):
    frames = np.concatenate([_moving(40), _woven(_moving(120)[40:], "top")])
    _write(tmp_path / "a.mp4", frames, g="10", **{"x264-params": "tff=1"})
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.scan.interlaced, reader.scan.first) == (True, "top")
