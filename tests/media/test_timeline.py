"""Clocks that begin late, wrap or jump back come out as one line, sound beside its picture."""

import itertools
from fractions import Fraction

import pytest

from src.media.reader import VideoReader
from src.media.timeline import PacketSpan, _line


def _part(track: int, pos: int, begin: int, count: int = 5) -> list[PacketSpan]:
    return [PacketSpan(track, pos + 10 * n, Fraction(begin + n), Fraction(begin + n),
                 Fraction(begin + n + 1))
            for n in range(count)]  # fmt: skip


def test_a_clock_that_runs_on_is_left_alone():
    assert _line(_part(0, 0, 100) + _part(1, 5, 99)).jumps == 0


@pytest.mark.parametrize("second", [3, 100, 0, 95_000])
def test_what_follows_a_jump_begins_where_the_part_before_ended(second):
    """The sound of each part begins one second before its picture,
    and both are moved by the same.
    """
    packets = _part(0, 5, 10) + _part(1, 0, 9) + _part(0, 1005, second) + _part(1, 1000, second - 1)
    line = _line(packets)
    assert line.starts == [1000]
    assert line.moves == [15 - (second - 1)]  # the first part ends at 15


def test_each_joint_counts_once():
    packets = [p for n in range(3) for track in (0, 1) for p in _part(track, 1000 * n + track, 10)]
    line = _line(packets)
    assert line.starts == [1000, 2000] and line.moves == [5, 10]


def _make(ffmpeg, path, offset=0, seconds=1):
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=25:duration={seconds}", "-f", "lavfi",
           "-i", f"sine=440:duration={seconds}", "-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-bf",
           0, "-c:a", "aac", "-output_ts_offset", offset, path)  # fmt: skip


def _times(path) -> list[float]:
    with VideoReader(path) as reader:
        return [float(frame.pts * reader.info.time_base) - reader.begins_s for frame in reader]


@pytest.mark.parametrize("offsets", [(0, 0), (30, 0), (0, 50_000), (0, 30, 0)])
def test_joined_recordings_play_one_after_the_other(tmp_path, ffmpeg, offsets):
    joined = tmp_path / "joined.ts"
    for number, offset in enumerate(offsets):
        _make(ffmpeg, tmp_path / f"{number}.ts", offset)
    joined.write_bytes(b"".join((tmp_path / f"{n}.ts").read_bytes() for n in range(len(offsets))))
    times = _times(joined)
    assert len(times) == 25 * len(offsets)
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert (
        min(steps) == pytest.approx(0.04, abs=1e-4) and max(steps) < 0.11
    )  # sound lasts a little beyond its picture
    assert 0 <= times[0] < 0.1


@pytest.mark.parametrize("offset", [50_000, 95_442.0 - 1.4])
def test_a_clock_that_begins_late_or_wraps_begins_at_nought(tmp_path, ffmpeg, offset):
    """33 bits at 90 kHz wrap after 95,443.7 s."""
    _make(ffmpeg, tmp_path / "a.ts", offset, seconds=3)
    times = _times(tmp_path / "a.ts")
    assert len(times) == 75 and 0 <= times[0] < 0.1
    assert times[-1] - times[0] == pytest.approx(74 / 25, abs=1e-3)


def test_a_rate_that_no_camera_has_is_guessed(tmp_path, ffmpeg):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=25:duration=0.1", "-c:v", "dvvideo",
           "-pix_fmt", "yuv420p", tmp_path / "a.dv")  # fmt: skip
    with VideoReader(tmp_path / "a.dv") as reader:
        assert reader.info.rate == 25


def test_frames_that_a_recorder_dropped_are_not_missed(tmp_path, ffmpeg):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2", "-vf",
           "select='not(between(n,5,30))'", "-fps_mode", "passthrough", "-c:v", "mpeg4",
           tmp_path / "a.avi")  # fmt: skip
    times = _times(tmp_path / "a.avi")
    assert len(times) == 24 and times[-1] == pytest.approx(49 / 25)
