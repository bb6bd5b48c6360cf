"""What a person asked of the upscaler, in the one vocabulary that flags, form fields and queue rows
share.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from src.core.config import Config
from src.core.option import Option, fields_of
from src.core.refinement import Refine
from src.core.request import Filters, Label, Seed, Watermark

UPSCALER = "newsreel"
"""The upscaler that is taken where nobody names one; its presets are known by their names alone."""
Share = Annotated[float, Field(ge=0, le=1)]


class EnhanceSettings(Config):
    """What a person may ask of the picture, each from 0 (off) to 1.

    denoise and deblock are told to the network, which was trained with noise and coding of known
    strength. The others act on its output; low frequencies always come from the source.
    """

    denoise: Annotated[
        Share,
        Option(
            "0 to 1: how noisy the source is taken to be; 1 is a deviation of 12 grey levels",
            form="denoiseLevel",
        ),
    ] = 0.0
    deblock: Annotated[
        Share,
        Option(
            "0 to 1: how strongly coded the source is taken to be; 1 is JPEG quality 30", form=False
        ),
    ] = 0.0
    sharpen: Annotated[
        Share,
        Option("0 to 1: sharpen edges, without halos", form=False),
    ] = 0.0
    preserve_details: Annotated[
        Share,
        Option(
            "0 to 1: put back what the output, shrunk again, lacks against the source",
            form="preserveDetails",
        ),
    ] = 0.0
    steady: Annotated[
        Share,
        Option("0 to 1: let detail follow the motion, against flicker", form=False),
    ] = 0.0


class UpscaleRequest(EnhanceSettings):
    """One video to enlarge as asked for; None means "you decide"."""

    input: Annotated[Path, Option("Video to enlarge, or a folder of them.", form=False)]
    output: Annotated[
        Path,
        Option(
            "File to write (.mp4, .mkv, .mov, .webm); a folder for a folder and for --codec png.",
            form=False,
        ),
    ]
    upscaler: Annotated[
        str,
        Option("An id of configs/upscalers, or a file or folder with weights", form=False),
    ] = UPSCALER
    accept_licence: Annotated[
        bool,
        Option(
            "Take weights whose licence restricts what pictures may be used for.",
            form="accept_licence",
        ),
    ] = False
    scale: Annotated[int, Option("2, 4 or 8", form="scale")] = 2
    preset: Annotated[
        str | None,
        Option(
            "One of the upscaler's presets: fast, balanced or quality [balanced].", form="quality"
        ),
    ] = None
    guidance_scale: Annotated[
        Annotated[float, Field(ge=0, le=50)] | None,
        Option("For diffusion upscalers only.", form="guideScale"),
    ] = None
    prompt: Annotated[
        str,
        Option("What the video shows; for diffusion upscalers only.", form="prompt"),
    ] = ""
    seed: Annotated[
        Seed,
        Option("Of the noise that diffusion upscalers draw", form="seed"),
    ] = 0
    refine: Annotated[
        Refine | None,
        Option("Run sdxl, or sdxl:STRENGTH (0.1 to 0.25), over the enlarged frames", form="refine"),
    ] = None
    codec: Annotated[
        str | None,
        Option(
            "x264, x265, av1, vp9, prores, nvenc, nvenc-hevc or png [x264; nvenc where it works].",
            form=False,
        ),
    ] = None
    crf: Annotated[
        float | None,
        Option("Quality of the encoder: lower is better and larger.", form=False),
    ] = None
    encoder_preset: Annotated[
        str | None,
        Option("Speed of the encoder, in its own words.", form=False),
    ] = None
    interlaced: Annotated[
        str,
        Option("Fields woven into pictures: field (a picture each), frame, refuse", form=False),
    ] = "field"
    start: Annotated[float, Option("Begin at this second.", form=False)] = 0.0
    end: Annotated[float | None, Option("Stop at this second.", form=False)] = None
    compare: Annotated[
        bool,
        Option("Show the bicubic enlargement beside ours.", form=False),
    ] = False
    overwrite: Annotated[
        bool,
        Option("Replace an output that is there and not ours.", form=False),
    ] = False
    device: Annotated[str, Option("auto, cpu or cuda", form=False)] = "auto"
    runtime: Annotated[
        Literal["auto", "torch", "openvino", "onnx", "tensorrt", "compile"] | None,
        Option(
            "What computes the networks; auto is what is measured fastest here [as torch always "
            "did]",
            form=False,
        ),
    ] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "int8"] | None,
        Option(
            "Arithmetic of the networks; auto is the fastest that loses nothing to see", form=False
        ),
    ] = None
    threads: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Option("CPU threads of the network [all cores].", form=False),
    ] = None
    watermark: Watermark = None
    label: Label = False
    filters: Filters = ()
    finishers: Annotated[
        tuple[str, ...],
        Option(
            "A finisher that works on the finished file; repeat for more.",
            metavar="NAME",
            form=False,
        ),
    ] = ()

    @field_validator("filters", "finishers", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


FIELDS = fields_of(UpscaleRequest)
"""The vocabulary, field by field."""
FORM = {str(field.option.form): name for name, field in FIELDS.items() if field.option.form}
"""Names of fields by the names that forms have for them."""


def from_form(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of the request from those of a form, which has names of its own; others stay as they
    are.
    """
    return {FORM.get(name, name): value for name, value in values.items()}
