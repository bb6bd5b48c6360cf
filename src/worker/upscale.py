"""Upscaling jobs: the stream of src/upscaling/ under a worker's watch."""

from pathlib import Path
from typing import Any

from src.core.config import validate
from src.core.hardware import Hardware
from src.media.encoders import works
from src.upscaling.backends import Choice
from src.upscaling.job import UpscaleJob
from src.upscaling.knobs import Knobs
from src.upscaling.stream import upscale_video
from src.worker.makers import Watch


def upscale(request: dict[str, Any], path: Path, watch: Watch, hardware: Hardware) -> dict[str, Any]:
    """Enlarge the request's input to `path`; returns the result's JSON.

    request: input, scale, quality, denoiseLevel, preserveDetails, guideScale, as src/api/upscale.py checks them.
    """
    details = request.get("preserveDetails", 0.0)
    knobs = {"denoise": request.get("denoiseLevel", 0.0), "preserve_details": float(details)}
    choice = Choice(
        request.get("quality", "balanced"), request.get("scale", 2), hardware.device, request.get("guideScale")
    )
    codec = "nvenc" if hardware.device == "cuda" and works("h264_nvenc") else "x264"
    job = UpscaleJob(
        Path(request["input"]), path, choice, validate(knobs, Knobs, "settings"), codec=codec,
        hardware=hardware.device == "cuda",
    )  # fmt: skip
    report = upscale_video(job, watch.listener, watch.cancel)
    return {
        "frames": report.frames, "width": report.width, "height": report.height, "lost": report.lost,
        "damaged": report.damaged, "seconds": {"upscale": report.seconds},
    }  # fmt: skip
