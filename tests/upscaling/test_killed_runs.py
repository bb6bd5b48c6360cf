"""A kill -9 in the middle of a segment, with each upscaler that draws noise or looks at whole
windows: the same command goes on, and the file is that of an unbroken run.
"""

import signal
import subprocess
import sys

import pytest

from src.core.paths import REPOSITORY
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.registry import detect
from src.upscaling.stream import upscale_video
from tests.diffusion_kit import build_dove, build_sdxl
from tests.upscaling.star.kit import narrow_star


def star(folder, weights):
    return UpscalerChoice("fast", 4, upscaler="star", folder=narrow_star(folder), seed=3)


def dove(folder, weights):
    """30 frames are two windows."""
    return UpscalerChoice("quality", 2, upscaler="x", detected=detect(build_dove(folder)))


def refined(folder, weights):
    given = {"folder": weights, "refine": "sdxl", "refiner_folder": build_sdxl(folder)}
    return UpscalerChoice("fast", 2, **given, seed=3)


@pytest.mark.parametrize(
    ("make", "frames", "segment", "at"), [(star, 5, 2, 3), (dove, 30, 4, 27), (refined, 8, 3, 5)]
)
def test_a_killed_run_goes_on_and_gives_the_unbroken_file(
    make, frames, segment, at, weights, tmp_path, ffmpeg, monkeypatch
):
    monkeypatch.setattr("src.upscaling.star.backend.EVALUATIONS", {"fast": 1})
    clip = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=16x16:rate=5", "-frames:v", frames, "-c:v", "ffv1",
           clip)  # fmt: skip
    usual = {"codec": "x264", "crf": 0, "threads": 1, "segment": segment}
    choice = make(tmp_path / "weights", weights)
    job = UpscaleJob(clip, tmp_path / "out" / "clip.mp4", choice, **usual)
    killed(job, at, tmp_path)
    assert not job.target.exists()
    report = upscale_video(job)
    assert report.resumed == at // segment * segment and report.frames == frames
    whole = upscale_video(UpscaleJob(clip, tmp_path / "whole.mp4", choice, **usual))
    assert whole.resumed == 0 and job.target.read_bytes() == whole.target.read_bytes()


def killed(job, at, folder):
    """Run the job in a process of its own that is killed when so many frames are written."""
    import pickle

    (folder / "job").write_bytes(pickle.dumps((job, at)))
    command = [sys.executable, "-m", "tests.upscaling.killed", folder / "job"]
    done = subprocess.run(command, timeout=300, cwd=REPOSITORY, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
