import errno
import os

import av
import numpy as np
import pytest

from src.core.errors import OutputError
from src.core.output_errors import output_error
from src.media.writer import VideoWriter
from tests.small_disk import small_disk


def smooth(shift: int) -> np.ndarray:
    y, x = np.mgrid[0:96, 0:128]
    return np.stack([(x + shift) % 128 * 1.5, y * 2.0, 90 + 0 * x], axis=2).astype(np.uint8)


def write(path, count=9):
    with VideoWriter(path, 128, 96, 8.0) as writer:
        for index in range(count):
            writer.write(smooth(index))
        return writer.commit()


def test_the_file_is_what_a_browser_plays(tmp_path):
    path = write(tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.frames, stream.average_rate) == (
            "h264",
            "yuv420p",
            9,
            8,
        )
        colour = (
            context.color_primaries,
            context.color_trc,
            context.colorspace,
            context.color_range,
        )
        assert colour == (1, 1, 1, 1)  # bt709 three times, limited range
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), (
        "the index must come first, for playing while loading"
    )


def test_colours_come_back(tmp_path):
    with av.open(str(write(tmp_path / "clip.mp4"))) as container:
        frame = next(container.decode(video=0))
        read = frame.reformat(
            format="rgb24", src_colorspace="ITU709", src_color_range="MPEG"
        ).to_ndarray()
    assert np.abs(read.astype(int) - smooth(0)).mean() < 3


def test_an_exception_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(tmp_path / "clip.mp4", 128, 96, 8.0) as writer,
    ):
        writer.write(smooth(0))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_nothing_appears_under_the_final_name_before_commit(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", 128, 96, 8.0) as writer:
        writer.write(smooth(0))
        writer.finish()
        assert not (tmp_path / "clip.mp4").exists()
        writer.commit()
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "not writable"), (errno.EIO, "written")],
)
def test_the_sentence_fits_the_reason(tmp_path, number, sentence):
    assert sentence in str(output_error(tmp_path / "clip.mp4", OSError(number, "why")))


def test_an_error_of_ffmpeg_is_words_and_the_flag_is_the_commands_own(tmp_path):
    invalid = av.error.InvalidDataError(
        1094995529, "Invalid data found when processing input", "clip.mp4"
    )
    said = str(output_error(tmp_path / "clip.mp4", invalid))
    assert "Invalid data found" in said and "1094995529" not in said
    full = str(output_error(tmp_path / "clip.mp4", OSError(errno.ENOSPC, "no"), "--output"))
    assert full.endswith("set --output")


def test_a_full_disk_leaves_nothing(tmp_path):
    with small_disk(tmp_path, 16) as disk:
        noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
        with (
            pytest.raises(OutputError, match="disk is full"),
            VideoWriter(disk / "c.mp4", 128, 96, 8.0) as writer,
        ):
            for shift in range(200):
                writer.write(np.roll(noise, shift, axis=0))
            writer.commit()
        assert list(disk.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path):
    gone = tmp_path / ".clip.mp4.999999999.partial.mp4"
    alive, other = (
        tmp_path / f".clip.mp4.{os.getppid()}.partial.mp4",
        tmp_path / ".clip-2.mp4.999999999.partial.mp4",
    )
    for file in (gone, alive, other):
        file.touch()
    write(tmp_path / "clip.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [alive.name, other.name, "clip.mp4"]
    )
