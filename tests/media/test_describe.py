"""What a stream says of itself, while others decode."""

import subprocess
import sys

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


def test_a_decoder_that_complains_locks_nobody_up(tmp_path, ffmpeg):
    """Its threads' messages, heard while a stream is described, waited for the interpreter, and who
    freed it for them.
    """
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
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING, clip], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr  # FFmpeg itself may say what is damaged
    assert "Traceback" not in done.stderr
