"""What a stream says of itself, while others decode."""

import subprocess
import sys
from contextlib import suppress

import av
import pytest
from av import logging
from av.error import FFmpegError

from src.media.opening import open_file

SPEAKING = """
import faulthandler, sys
from pathlib import Path
from src.media.describe import stream_line
from src.media.reader import VideoReader
faulthandler.dump_traceback_later(300, exit=True)
for _ in range(150):
    with VideoReader(Path(sys.argv[1])) as reader:
        pictures = iter(reader)
        next(pictures), next(pictures)
        stream_line(reader._stream)
    del reader, pictures
"""


@pytest.fixture
def damaged(tmp_path, ffmpeg):
    clip = tmp_path / "damaged.mp4"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x240:rate=25:duration=4",
        "-c:v",
        "libx264",
        "-g",
        5,
        clip,
    )
    code = bytearray(clip.read_bytes())
    for place in range(6000, len(code) - 6000, 700):
        code[place] ^= 0x55
    clip.write_bytes(code)
    return clip


def test_a_decoder_that_complains_locks_nobody_up(damaged):
    """Its threads' messages, heard while a stream is described, waited for the interpreter, and who
    freed it for them.
    """
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING, damaged], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr  # FFmpeg itself may say what is damaged
    assert "Traceback" not in done.stderr


def test_decoders_tell_nobody_of_damage(damaged):
    """PyAV hears what only the file's parser says, on the thread that asks it."""

    def heard(opened):
        logging.set_level(logging.INFO)
        logging.set_libav_level(logging.VERBOSE)
        try:
            with logging.Capture(local=False) as told, suppress(FFmpegError), opened:
                list(opened.decode(video=0))
            return [message for _, _, message in told if "error while decoding" in message]
        finally:
            logging.restore_default_callback()

    assert heard(av.open(str(damaged)))
    assert heard(open_file(damaged)) == []
