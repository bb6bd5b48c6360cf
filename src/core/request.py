"""What a person asked, in the one vocabulary that flags, YAML keys, job fields and form fields
share.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from src.core.config import Config, read_yaml, validate
from src.core.errors import BadInputError
from src.core.option import Option, PublicField, fields_of, listed
from src.core.parsing import parse_assignments, parse_bytes, parse_upscale

DRAFTS_OWN = ("draft", "num_inference_steps")
"""Fields that are asked for a draft's sake, and are not those of its full clip."""

Mode = Literal["baseline", "optimized"]
Fit = Literal["cover", "pad"]
MAX_SEED = 2**63 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
StepCount = Annotated[int, Field(ge=1, le=1000)]
GuidanceScale = Annotated[float, Field(ge=0, le=50)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Filters = Annotated[
    tuple[str, ...],
    Option("A filter that works on each frame before it is encoded; repeat for more.",
           metavar="NAME", form=False),
]  # fmt: skip

Watermark = Annotated[
    bool | None,
    Option("Mark the picture so that machines can tell where it comes from; it is not seen. Off "
           "unless asked for; in the service as its operator says.",
           form="watermark"),
]  # fmt: skip

Label = Annotated[
    bool,
    Option("Draw the letters AI into the picture, top right, for people to see.", form="label"),
]


class Request(Config):
    """One clip as asked for; None means "you decide" (the model's default, or the profile's)."""

    input_image: Annotated[
        Path,
        Option("Photograph: JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF.", clip=True, form=False),
    ]
    prompt: Annotated[str | None, Option("What happens in the clip.", clip=True)] = None
    template: Annotated[
        str | None,
        Option("A press template instead of a prompt.", clip=True),
    ] = None
    set: Annotated[
        dict[str, str],
        Option("A slot of the template; repeat for more.", metavar="SLOT=VALUE", clip=True),
    ] = Field(default_factory=dict)
    negative_prompt: Annotated[
        str | None,
        Option("What the clip should keep away from.", clip=True),
    ] = None
    output_path: Annotated[
        Path | None,
        Option("MP4 to write; without it, outputs/examples/<prompt>-<seed>.mp4.", clip=True,
               form=False),
    ] = None  # fmt: skip
    overwrite: Annotated[
        bool,
        Option("Replace an output that is there and not ours.", form=False),
    ] = False
    model: Annotated[str, Option("auto, a model id, or a diffusers folder")] = "auto"
    mode: Annotated[
        Mode,
        Option("Our loop, or the stock diffusers pipeline at its card's settings"),
    ] = "optimized"
    seed: Annotated[
        Seed | None,
        Option("Same seed, same clip; without it, one is drawn.", clip=True),
    ] = None
    num_frames: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Option("Frames, where the model allows other counts."),
    ] = None
    height: Annotated[
        Annotated[int, Field(ge=16, le=4320)] | None,
        Option("Delivered height", unit="pixels"),
    ] = None
    width: Annotated[
        Annotated[int, Field(ge=16, le=7680)] | None,
        Option("Delivered width", unit="pixels"),
    ] = None
    fps: Annotated[
        Annotated[float, Field(ge=1, le=120)] | None,
        Option("Frames a second [the model's own: 8, CogVideoX 1.5 16]."),
    ] = None
    num_inference_steps: Annotated[StepCount | None, Option("Denoising steps.")] = None
    guidance_scale: Annotated[
        GuidanceScale | None,
        Option("How strongly the prompt is followed; 1 is off."),
    ] = None
    guidance_interval: Annotated[
        tuple[float, float] | None,
        Option("Part of the steps with guidance, 0 to 1; outside, a step costs one forward.",
               metavar="FROM,UNTIL", baseline=False),
    ] = None  # fmt: skip
    scheduler: Annotated[
        Literal["dpm", "ddim"] | None,
        Option("Solver", baseline=False),
    ] = None
    lora: Annotated[
        tuple[str, ...],
        Option("A LoRA adapter; repeat for more.", metavar="PATH[=WEIGHT]"),
    ] = ()
    profile: Annotated[
        str,
        Option("auto, or one of configs/profiles.yaml", baseline=False),
    ] = "auto"
    attention: Annotated[
        Literal["auto", "measured", "flash", "cudnn", "efficient", "math", "flash3", "sage"] | None,
        Option("Attention kernel; measured takes the fastest here of those that compute the same "
               "sums, flash3 and sage are extras", baseline=False, form=False),
    ] = None  # fmt: skip
    cache: Annotated[
        str | None,
        Option("Step cache: none, first_block, taylorseer or pyramid; magcache or teacache, of a "
               "calibrated model.",
               metavar="NAME[=THRESHOLD]", baseline=False),
    ] = None  # fmt: skip
    quantize: Annotated[
        Literal["none", "int8", "fp8", "fp8_dynamic"] | None,
        Option(
            "Transformer weights in 8 bits; fp8_dynamic multiplies in 8 bits as well",
            baseline=False,
            form=False,
        ),
    ] = None
    compile: Annotated[
        bool | None,
        Option("Compile the transformer's blocks.", baseline=False, form=False),
    ] = None
    offload: Annotated[
        Literal["auto", "none", "text", "model", "group", "paged", "sequential"],
        Option("What of the model waits outside the GPU", form=False,
               baseline=("none", "model", "sequential")),
    ] = "auto"  # fmt: skip
    vram_budget: Annotated[
        str | None,
        Option("Plan for this much GPU memory instead of what is free.", metavar="12GB",
               form=False),
    ] = None  # fmt: skip
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        Option("Number format of the model", form=False),
    ] = "auto"
    delivery: Annotated[
        str,
        Option("From the model's size to the clip's: auto (the model's usual way), lanczos "
               "(resampling), or an upscaler's preset (fast, balanced, quality, nano, ID/PRESET)",
               metavar="NAME", form=False),
    ] = "auto"  # fmt: skip
    upscale: Annotated[
        str | None,
        Option("Enlarge the clip: 2x, 4x or 8x, and an upscaler's preset (fast, balanced, "
               "quality, ID/PRESET).", metavar="2x[:PRESET]"),
    ] = None  # fmt: skip
    fit: Annotated[Fit, Option("Crop the photograph to the clip's shape, or add borders")] = "cover"
    score: Annotated[bool, Option("Take the temporal score.")] = True
    draft: Annotated[
        bool,
        Option("Show it quickly: few steps, small frames by the preview decoder, no enlargement "
               "and no score; --full makes the full clip of it.", baseline=False),
    ] = False  # fmt: skip
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("Where to compute", form=False)] = (
        "auto"
    )
    gpus: Annotated[
        Annotated[int, Field(ge=1, le=16)],
        Option("GPUs that make one clip together, a process each; on a CPU, processes",
               baseline=False),
    ] = 1  # fmt: skip
    watermark: Watermark = None
    label: Label = False
    rights_reason: Annotated[
        str | None,
        Option("Why a photograph whose rights forbid use by AI is used all the same.", clip=True,
               metavar="TEXT"),
    ] = None  # fmt: skip
    accept_licence: Annotated[
        bool,
        Option("Take weights whose licence limits who may use them, where or for what."),
    ] = False
    extend: Annotated[
        bool,
        Option(
            "The input is a clip: go on from its last frame, in one file.", clip=True, form=False
        ),
    ] = False
    filters: Filters = ()
    finishers: Annotated[
        tuple[str, ...],
        Option("A finisher that works on the finished clip; repeat for more.", metavar="NAME",
               form=False),
    ] = ()  # fmt: skip

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, prompt: str | None) -> str | None:
        if prompt is not None and not prompt.strip():
            raise ValueError("must not be empty: say what happens in the clip")
        return prompt

    @field_validator("input_image", "output_path", "model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """What no disk takes as a name; an empty one would be the current folder."""
        if value == "":
            raise ValueError("must not be empty")
        if "\0" in str(value):
            raise ValueError("must not hold a null byte")
        return value

    @field_validator("prompt", "negative_prompt", "output_path")
    @classmethod
    def _readable(cls, text: Any) -> Any:
        if text is not None and any("\ud800" <= letter <= "\udfff" for letter in str(text)):
            raise ValueError("must be UTF-8 text")
        return text

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _interval(cls, value: Any) -> tuple[float, float] | None:
        if value is None:
            return None
        try:
            begin, end = (
                float(part) for part in (value.split(",") if isinstance(value, str) else value)
            )
        except (TypeError, ValueError):
            begin, end = 1.0, 0.0
        if not 0 <= begin < end <= 1:
            raise ValueError("must be FROM,UNTIL with 0 <= FROM < UNTIL <= 1, such as 0,0.8")
        return begin, end

    @field_validator("lora", "filters", "finishers", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("upscale")
    @classmethod
    def _enlarging(cls, value: str | None) -> str | None:
        if value is not None and parse_upscale(value) is None:
            raise ValueError(
                "must be 2x, 4x or 8x, with a preset if wanted, such as 2x:fast or 2x:ID/PRESET"
            )
        return value

    @field_validator("vram_budget")
    @classmethod
    def _budget(cls, value: str | None) -> str | None:
        if value is not None and not parse_bytes(value):
            raise ValueError("must be a number above 0 with GB, GiB, MB or MiB, such as 12GB")
        return value

    @field_validator("height", "width")
    @classmethod
    def _even(cls, size: int | None) -> int | None:
        if size is not None and size % 2:
            raise ValueError(f"must be even for H.264 4:2:0; nearest: {size - 1} and {size + 1}")
        return size

    @property
    def enlarging(self) -> tuple[int, str | None] | None:
        """`upscale` as scale and preset, None for the usual preset; None where none is asked."""
        return parse_upscale(self.upscale) if self.upscale else None

    @property
    def cache_name(self) -> str:
        """`cache` without its threshold; "none" where none is asked for."""
        return (self.cache or "none").partition("=")[0]

    @property
    def budget(self) -> int | None:
        """`vram_budget` in bytes."""
        return parse_bytes(self.vram_budget) if self.vram_budget else None


FIELDS = fields_of(Request)
"""The vocabulary, field by field."""


def check_mode(request: Request) -> None:
    """Raise BadInputError for a field that the stock pipeline does not take, in mode baseline."""
    if request.mode != "baseline":
        return
    for field in FIELDS.values():
        value = getattr(request, field.name)
        if not field.stock_takes(value):
            raise BadInputError(refusal(field, value))


def refusal(field: PublicField, value: Any) -> str:
    """Why the baseline does not take it."""
    takes = field.option.baseline
    if isinstance(takes, tuple):
        return (
            f"{field.flag} {value} does not apply to mode baseline; the stock pipeline has "
            f"{listed(takes)}"
        )
    return f"{field.flag} does not apply to mode baseline, the stock pipeline as it is"


def build_request(flags: dict[str, Any], config: Path | None = None) -> Request:
    """Merge in order defaults, config file, `NEWSREEL_<FIELD>` variables, flags; None means "not
    given".

    Raises BadInputError naming where a wrong value came from.
    """
    layers = [(str(config), read_yaml(config))] if config else []
    layers.append(("environment", _from_environment()))
    given = {key: value for key, value in flags.items() if value not in (None, [])}
    layers.append(("request", _slots(given)))
    merged: dict[str, Any] = {}
    for _, values in layers:
        merged |= values
    for name, values in layers:
        # so that the error names the file or the variables it came from
        validate(_needed(values), Request, name)
    return validate(merged, Request, "request")


def _needed(values: dict[str, Any]) -> dict[str, Any]:
    """One layer on its own, with a stand-in for the one field that has no default."""
    return {"input_image": "any"} | values


def _from_environment() -> dict[str, Any]:
    """Fields set as NEWSREEL_MODEL, NEWSREEL_SEED and so on;
    pydantic turns the strings into types.
    """
    names = {field: f"NEWSREEL_{field.upper()}" for field in Request.model_fields}
    found: dict[str, Any] = {
        field: os.environ[name] for field, name in names.items() if os.environ.get(name)
    }
    if "set" in found:
        found["set"] = found["set"].split(",")
    return _slots(found)


def _slots(values: dict[str, Any]) -> dict[str, Any]:
    """With `set` as a mapping, where it came as SLOT=VALUE."""
    given = values.get("set")
    return values | {"set": parse_assignments(given)} if isinstance(given, list) else values
