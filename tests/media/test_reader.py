"""The reader gives the picture that was written, and refuses in one sentence what it
cannot read.
"""

import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from src.core.errors import BadInputError, MissingFileError
from src.media.reader import VideoReader
from src.media.writer import VideoWriter

COLOUR = (200, 40, 90)


def _flat(width: int = 96, height: int = 64, colour=COLOUR) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def _numbered(count: int) -> list[np.ndarray]:
    return [_flat(colour=(20 + 5 * i, 100, 200 - 5 * i)) for i in range(count)]


def write(
    path: Path, frames, codec="libx264", pixels="yuv420p", matrix=None, pts=None, options=None
) -> Path:
    """Encode frames as asked; the matrix is applied and, where it is not None, also stated."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8, options=options or {"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000 if pts else 8)
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
                format=pixels,
                dst_colorspace=matrix or Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = (
                (pts[number] if pts else number),
                stream.codec_context.time_base,
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True)


def test_what_the_writer_wrote_comes_back(tmp_path):
    frames = _numbered(9)
    writer = VideoWriter(tmp_path / "clip.mp4", 96, 64, 8)
    for frame in frames:
        writer.write(frame)
    writer.commit()
    with VideoReader(tmp_path / "clip.mp4") as reader:
        read = list(reader)
        info = reader.info
    assert (info.width, info.height, info.rate, info.frames) == (96, 64, 8, 9)
    assert (info.matrix, info.primaries, info.transfer, info.full_range) == (
        "bt709",
        "bt709",
        "bt709",
        False,
    )
    assert all(
        np.abs(a.array.astype(int) - b).max() <= 4 for a, b in zip(read, frames, strict=True)
    )
    assert [float(f.pts * info.time_base) for f in read] == [i / 8 for i in range(9)]


@pytest.mark.parametrize(
    "matrix", [Colorspace.ITU709, Colorspace.ITU601, None], ids=["bt709", "bt601", "untagged"]
)
def test_the_files_own_matrix_is_used(tmp_path, matrix):
    with VideoReader(write(tmp_path / "clip.mp4", [_flat()] * 2, matrix=matrix)) as reader:
        colour = next(iter(reader)).array[32, 48].astype(int)
    assert np.abs(colour - COLOUR).max() <= 3


def test_ten_bits_are_eight_or_sixteen_as_asked(tmp_path):
    path = write(
        tmp_path / "deep.mkv", [_flat()] * 2, codec="ffv1", pixels="yuv444p10le", options={}
    )
    with VideoReader(path) as plain, VideoReader(path, deep=True) as deep:
        eight, sixteen = next(iter(plain)).array, next(iter(deep)).array
        assert plain.info.bit_depth == 10
    assert (eight.dtype, sixteen.dtype) == (np.uint8, np.uint16)
    assert np.abs(eight[5, 5].astype(int) - COLOUR).max() <= 2
    assert np.abs(sixteen[5, 5] / 257 - COLOUR).max() <= 2


def test_odd_sizes_are_read_whole(tmp_path):
    path = write(
        tmp_path / "odd.mkv", [_flat(77, 51)] * 2, codec="ffv1", pixels="yuv444p", options={}
    )
    with VideoReader(path) as reader:
        assert next(iter(reader)).array.shape == (51, 77, 3)


def test_a_variable_rate_keeps_its_times(tmp_path):
    times = [0, 100, 150, 400, 1000]
    path = write(tmp_path / "vfr.mkv", _numbered(5), pts=times)
    with VideoReader(path) as reader:
        assert [round(float(f.pts * reader.info.time_base) * 1000) for f in reader] == times


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_rotation_is_reported_and_not_applied(tmp_path, clockwise):
    upright, turned = write(tmp_path / "a.mp4", [_flat()] * 3), tmp_path / "b.mp4"
    _ffmpeg("-display_rotation", -clockwise, "-i", upright, "-c", "copy", turned)
    with VideoReader(turned) as reader:
        assert reader.info.rotation == clockwise
        assert next(iter(reader)).array.shape == (64, 96, 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"nowhere\.mp4"):
        VideoReader(tmp_path / "nowhere.mp4")


def _empty(path: Path) -> None:
    path.touch()


def _garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _headless(path: Path) -> None:
    whole = write(path.with_suffix(".whole.mp4"), _numbered(20)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _audio(path: Path) -> None:
    with wave.open(str(path.with_suffix(".wav")), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    path.with_suffix(".wav").rename(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_empty, "0 bytes"),
        (_garbage, "cannot be read"),
        (_headless, "cannot be read"),
        (_audio, "no video stream, only audio"),
        (Path.mkdir, "a folder"),
    ],
    ids=["zero size", "garbage", "truncated", "audio only", "folder"],
)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, make, says):
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(BadInputError, match=says) as caught:
        VideoReader(path)
    assert str(path) in str(caught.value)


def test_a_clip_cut_short_says_how_much_is_there(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 96, 3)).astype(np.uint8)
    writer = VideoWriter(tmp_path / "clip.mp4", 96, 64, 8)
    for frame in noise:
        writer.write(frame)
    whole = writer.commit().read_bytes()
    (tmp_path / "clip.mp4").write_bytes(whole[: len(whole) // 2])
    with (
        VideoReader(tmp_path / "clip.mp4") as reader,
        pytest.raises(BadInputError, match=r"cut short|damaged"),
    ):
        list(reader)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".webm"])
def test_a_seek_leaves_out_only_what_comes_before_its_keyframe(tmp_path, suffix):
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    options = {"g": "5", "bf": "2"} if codec == "libx264" else {"g": "5"}
    path = write(tmp_path / f"long{suffix}", _numbered(40), codec=codec, options=options)
    with VideoReader(path) as reader:
        whole = [(frame.pts, frame.array) for frame in reader]
    time_s = float(whole[22][0] * reader.info.time_base)
    with VideoReader(path) as reader:
        reader.seek(time_s)
        part = [(frame.pts, frame.array) for frame in reader]
    assert [pts for pts, _ in part] == [pts for pts, _ in whole[-len(part) :]]
    assert part[0][0] <= whole[22][0]
    assert len(part) < 40
    for (_, one), (_, other) in zip(part[-18:], whole[22:], strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clip_cut_short_is_told_after_a_seek_too(tmp_path, suffix):
    path = tmp_path / f"long{suffix}"
    with av.open(
        str(path), "w", options={"movflags": "+faststart"} if suffix == ".mp4" else {}
    ) as container:
        stream = container.add_stream("libx264", rate=8, options={"g": "5"})
        stream.height, stream.width = 64, 96
        for array in _numbered(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with VideoReader(path) as reader, pytest.raises(BadInputError, match="cut short|damaged"):
        reader.seek(1.0)
        list(reader)


@pytest.mark.parametrize("time_s", [1e6, 1e300])
def test_a_seek_beyond_the_end_shows_nothing_that_late_and_is_no_error(tmp_path, time_s):
    with VideoReader(write(tmp_path / "clip.mp4", _numbered(20), options={"g": "5"})) as reader:
        reader.seek(time_s)
        assert max(float(frame.pts * reader.info.time_base) for frame in reader) == 19 / 8


@pytest.mark.parametrize("number", [175, 190])
def test_a_seek_into_an_intra_refresh_shows_no_frame_that_lacks_those_before(tmp_path, number):
    path = tmp_path / "refresh.mp4"
    options = [
        "-preset",
        "veryfast",
        "-g",
        "50",
        "-x264-params",
        "intra-refresh=1",
        "-pix_fmt",
        "yuv420p",
    ]
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=9", "-c:v", "libx264", *options, path)
    with VideoReader(path) as reader:
        wanted = list(reader)[number]
    with VideoReader(path) as reader:
        reader.seek(float(wanted.pts * reader.info.time_base))
        assert np.array_equal(
            next(frame.array for frame in reader if frame.pts >= wanted.pts), wanted.array
        )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", [None, 2.0])
def test_a_last_frame_that_stays_is_not_taken_for_a_cut(tmp_path, suffix, start):
    with av.open(str(tmp_path / f"stays{suffix}"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"g": "5", "bf": "0"})
        stream.height, stream.width = 64, 96
        packets = [
            p
            for a in _numbered(40)
            for p in stream.encode(av.VideoFrame.from_ndarray(a, format="rgb24"))
        ]
        packets += stream.encode(None)
        packets[-1].duration = round(6 / packets[-1].time_base)
        container.mux(packets)
    with VideoReader(tmp_path / f"stays{suffix}") as reader:
        if start:
            reader.seek(start)
        assert round(float([frame.pts for frame in reader][-1] * reader.info.time_base) * 8) == 39


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path):
    path = write(tmp_path / "whole.mp4", _numbered(40), options={"g": "40"})
    _ffmpeg("-ss", "2", "-i", path, "-c", "copy", tmp_path / "part.mp4")
    with VideoReader(tmp_path / "part.mp4") as reader:
        assert len(list(reader)) == 24 < reader.info.frames


def test_an_animated_webp_is_not_called_damaged(tmp_path):
    pictures = [Image.fromarray(np.full((32, 48, 3), 40 * n, np.uint8)) for n in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    try:
        with VideoReader(tmp_path / "a.webp") as reader:
            assert len(list(reader)) == 4  # a later FFmpeg may decode it
    except BadInputError as error:
        assert "is an animated WebP" in str(error) and "magick" in str(error)
    (tmp_path / "b.webp").write_bytes((tmp_path / "a.webp").read_bytes()[:60])
    with pytest.raises(BadInputError):
        VideoReader(tmp_path / "b.webp")


def test_where_no_card_decodes_the_processor_does(tmp_path):
    """CUDA's context may fail where torch's did not: no driver that decodes, or a full card."""
    path = write(tmp_path / "a.mp4", _numbered(3))
    with VideoReader(path, hardware=True) as card, VideoReader(path) as processor:
        assert [f.array.tolist() for f in card] == [f.array.tolist() for f in processor]
