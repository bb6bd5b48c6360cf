"""Frames that are too small for the optical flow are told, wherever detail is to follow it."""

from types import SimpleNamespace

import pytest

from src.core.plan import Size, Upscale
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import UpscalerChoice
from src.upscaling.clips import clip_warnings
from src.upscaling.job import UpscaleJob
from src.upscaling.smoothing import SMALLEST, too_small_for_flow
from src.upscaling.stream import upscale_video

TOLD = "too small for optical flow"


@pytest.mark.parametrize(("steady", "size", "told"), [
    (0.5, "48x24", True), (0.5, "48x32", False), (0.0, "48x24", False),
])  # fmt: skip
def test_a_run_tells_it(tmp_path, ffmpeg, home, steady, size, told):
    clip = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=5:duration=0.6", clip)
    settings = EnhanceSettings(steady=steady)
    report = upscale_video(
        UpscaleJob(clip, tmp_path / "large.mp4", UpscalerChoice("fast", 2), settings)
    )
    assert any(TOLD in each for each in report.lost) is told


def test_refining_carries_and_so_tells_it():
    carried = UpscalerChoice(refine="sdxl").carried(EnhanceSettings())
    assert carried > 0 and TOLD in too_small_for_flow(carried, 64, SMALLEST - 1)[0]
    assert too_small_for_flow(carried, SMALLEST, SMALLEST) == []


@pytest.mark.parametrize(("delivered", "preset", "told"), [
    ((48, 24), "sdxl/balanced", 1), ((48, 32), "sdxl/balanced", 0), ((48, 24), "fast", 0),
])  # fmt: skip
def test_clips_tell_it(delivered, preset, told):
    width, height = delivered
    plan = SimpleNamespace(
        upscaler="lanczos", native=Size(width=240, height=160),
        delivered=Size(width=width, height=height), upscale=Upscale(scale=2, preset=preset),
    )  # fmt: skip
    assert len(clip_warnings(plan)) == told
