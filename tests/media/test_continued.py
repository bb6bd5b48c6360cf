"""A file that begins with another clip: nothing is doubled, dropped or changed."""

import numpy as np
import pytest

from src.media.reader import VideoReader
from src.media.writer import VideoWriter

SIZE = (96, 64)


def _frames(count, seed):
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(0, 255, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return [np.roll(base, 2 * index, axis=1) for index in range(count)]


def _write(path, frames, fps=8, before=None):
    with VideoWriter(path, *SIZE, fps) as writer:
        taken = before and writer.begin_with(before, lambda: _read(before))
        for frame in frames:
            writer.write(frame)
        writer.commit()
    return taken


def _read(path):
    with VideoReader(path) as reader:
        return [frame.array.copy() for frame in reader]


def _times(path):
    with VideoReader(path) as reader:
        base = reader.info.time_base
        return [float(frame.pts * base) for frame in reader]


@pytest.mark.parametrize("counts", [(9, 8), (3, 1), (49, 48), (3, 30)])
def test_the_clips_own_packets_come_first(tmp_path, counts):
    first, whole, alone = (tmp_path / f"{name}.mp4" for name in "fwa")
    _write(first, _frames(counts[0], 1))
    new = _frames(counts[1], 2)
    assert _write(whole, new, before=first)
    _write(alone, new)
    made = _read(whole)
    assert len(made) == sum(counts)
    assert all(np.array_equal(a, b) for a, b in zip(made, _read(first), strict=False))
    assert all(np.array_equal(a, b) for a, b in zip(made[counts[0] :], _read(alone), strict=True))
    assert _times(whole) == pytest.approx([k / 8 for k in range(sum(counts))])


def test_a_clip_that_was_gone_on_with_may_be_again(tmp_path):
    paths = [tmp_path / f"{name}.mp4" for name in "abc"]
    _write(paths[0], _frames(5, 1))
    for path, before in ((paths[1], paths[0]), (paths[2], paths[1])):
        assert _write(path, _frames(4, 2), before=before)
    made = _read(paths[2])
    assert len(made) == 13
    assert all(np.array_equal(a, b) for a, b in zip(made, _read(paths[1]), strict=False))


@pytest.mark.parametrize("count", [1, 2])
def test_a_clip_too_short_for_frames_out_of_order_is_encoded_anew(tmp_path, count):
    first, whole = tmp_path / "f.mp4", tmp_path / "w.mp4"
    _write(first, _frames(count, 1))
    assert _write(whole, _frames(30, 2), before=first) is False
    assert len(_read(whole)) == count + 30


def test_a_clip_that_was_encoded_otherwise_is_encoded_anew(tmp_path):
    import av

    first, whole = tmp_path / "f.mp4", tmp_path / "w.mp4"
    with av.open(str(first), "w") as out:
        stream = out.add_stream("libx264", rate=8, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in _frames(6, 1):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    assert _write(whole, _frames(3, 2), before=first) is False
    made, given = _read(whole), _read(first)
    assert len(made) == 9
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(made, given, strict=False)) < 10
