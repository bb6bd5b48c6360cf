"""A request to enlarge, with what it leaves open decided: one place for the command, the service
and its workers.
"""

from __future__ import annotations

from pathlib import Path

from src.catalog.upscalers import NOISY, load_upscalers
from src.core.devices import find_device
from src.core.upscale_request import EnhanceSettings, UpscaleRequest
from src.media.encoders import ENCODERS, works
from src.media.frames import VideoInfo
from src.media.reader import VideoReader
from src.media.span import Span
from src.upscaling.backends import UpscalerChoice
from src.upscaling.job import UpscaleJob
from src.upscaling.registry import upscaler_at


def resolve_job(request: UpscaleRequest, device: str | None = None) -> UpscaleJob:
    """The job of one video. device: "cpu" or "cuda" where that is known; else the request's is
    looked for.

    Reads the source's headers where the encoder depends on them; nothing is checked that
    `UpscaleJob.check` checks.
    """
    device, spec = device or find_device(request.device), upscaler_at(request.upscaler)
    return UpscaleJob(
        request.input,
        request.output,
        UpscalerChoice(
            request.preset or spec.usual,
            request.scale,
            device,
            request.guidance_scale,
            upscaler=spec.id,
            seed=request.seed,
            prompt=request.prompt,
            detected=None if request.upscaler in load_upscalers() else spec,
            accepted=request.accept_licence,
            runtime=request.runtime,
            precision=request.precision,
            noisy=request.denoise >= NOISY,
            refine=request.refine,
        ),
        EnhanceSettings(**{name: getattr(request, name) for name in EnhanceSettings.model_fields}),
        codec=request.codec or usual_codec(request, device),
        crf=request.crf,
        encoder_preset=request.encoder_preset,
        span=Span(request.start, request.end),
        compare=request.compare,
        threads=request.threads,
        hardware=device == "cuda",
        interlaced=request.interlaced,
        filters=request.filters,
        finishers=request.finishers,
    )


def usual_codec(request: UpscaleRequest, device: str) -> str:
    """What suits the output's suffix; beside a GPU its own encoder, where it has one that works and
    loses nothing.
    """
    if request.output.suffix.lower() == ".webm":
        return "vp9" if _info(request.input).alpha else "av1"
    if device != "cuda" or not works("h264_nvenc"):
        return "x264"
    info, nvenc = _info(request.input), ENCODERS["nvenc"]
    wide = request.scale * (2 if request.compare else 1)
    fits = wide * max(info.width, info.height) <= nvenc.most
    return "nvenc" if fits and (info.chroma, min(info.bit_depth, 10)) in nvenc.formats else "x264"


def _info(source: Path) -> VideoInfo:
    with VideoReader(source) as reader:
        return reader.info
