"""Upscaling jobs: the stream of src/upscaling/ under a worker's watch, and what it would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from src.core.config import validate
from src.core.hardware import Hardware
from src.core.progress import CancelToken, Listener
from src.media.encoders import find_encoder, works
from src.media.reader import VideoReader
from src.upscaling.backends import Choice
from src.upscaling.job import UpscaleJob
from src.upscaling.knobs import Knobs


def upscale(
    request: dict[str, Any], path: Path, hardware: Hardware, listener: Listener, cancel: CancelToken
) -> dict[str, Any]:
    """Enlarge the request's input to `path`; returns the result's JSON.

    request: input, scale, quality, denoiseLevel, preserveDetails, guideScale, as src/api/upscale.py checks them.
    """
    from src.upscaling.stream import upscale_video

    report = upscale_video(_job(request, path, hardware.device), listener, cancel)
    return {
        "frames": report.frames, "width": report.width, "height": report.height, "lost": report.lost,
        "damaged": report.damaged, "seconds": {"upscale": report.seconds},
    }  # fmt: skip


def check_upscale(request: dict[str, Any]) -> None:
    """Raise what `upscale` would raise before it computes, on any machine; reads the input's
    headers.
    """
    job = _job(request, Path(request["input"]).with_suffix(".enlarged.mp4"), "cpu")
    job.check()
    job.tracks()


def _job(request: dict[str, Any], path: Path, device: str) -> UpscaleJob:
    """NVENC where it is there and takes the size, x264 elsewhere."""
    knobs = {"denoise": request.get("denoiseLevel", 0.0),
             "preserve_details": float(request.get("preserveDetails", 0.0))}  # fmt: skip
    choice = Choice(request.get("quality", "balanced"), request.get("scale", 2), device, request.get("guideScale"))
    settings = validate(knobs, Knobs, "settings")
    job = UpscaleJob(Path(request["input"]), path, choice, settings, hardware=device == "cuda")
    with VideoReader(job.source) as reader:
        size = job.output_size(reader.info)
    fast = device == "cuda" and works("h264_nvenc") and max(size) <= find_encoder("nvenc").most
    return replace(job, codec="nvenc") if fast else job
