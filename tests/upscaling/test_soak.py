"""By hand: python -m pytest -m soak tests/upscaling/test_soak.py"""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from src.engine.costs import peak_rss
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.stream import upscale_video
source, target, weights = map(Path, sys.argv[1:])
choice = UpscalerChoice("fast", 2, folder=weights)
job = UpscaleJob(source, target, choice, threads=1, encoder_preset="ultrafast")
report = upscale_video(job)
print(report.frames, peak_rss())
"""


@pytest.mark.soak
def test_ten_thousand_frames_take_the_memory_of_two_hundred(tmp_path, ffmpeg, weights):
    peaks = {}
    for count in (200, 10_000):
        source = tmp_path / f"{count}.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25", "-f", "lavfi", "-i", "sine=440",
               "-frames:v", count, "-t", count / 25, "-pix_fmt", "yuv420p", "-preset", "ultrafast",
               source)  # fmt: skip
        command = [sys.executable, "-c", SCRIPT, source, tmp_path / f"out-{count}.mp4", weights]
        frames, peak = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.split()
        assert int(frames) == count
        peaks[count] = int(peak)
    assert peaks[10_000] < 1.1 * peaks[200], peaks
