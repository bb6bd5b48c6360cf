"""What a person asked, in the one vocabulary that flags, YAML keys, job fields and form fields share."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from src.core.config import Config, read_yaml, validate
from src.core.errors import BadInputError

Mode = Literal["baseline", "optimized"]
Fit = Literal["cover", "pad"]
MAX_SEED = 2**63 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
StepCount = Annotated[int, Field(ge=1, le=1000)]
GuidanceScale = Annotated[float, Field(ge=0, le=50)]
Threads = Annotated[int, Field(ge=1, le=1024)]


class Request(Config):
    """One clip as asked for; None means "you decide" (the model's default, or the profile's).

    input_image: path of the photograph. prompt: what happens in the clip; or `template` with `set` for slots.
    output_path: the MP4 to write; None names it after the prompt and the seed.
    model: "auto", a model id of `configs/models/`, or the path of a diffusers folder.
    mode: "baseline" is the stock diffusers pipeline at its card's settings, "optimized" is our loop.
    seed: 0 to 2**63 - 1; None draws one. num_frames, height (px), width (px), fps: of the delivered clip;
    a model plays at a rate of its own (`Defaults.fps`) unless asked otherwise.
    num_inference_steps: denoising steps, 1 to 1000. guidance_scale: 1 turns guidance off.
    guidance_interval: part of the steps (from, until; 0 to 1) with guidance; outside, a step costs one forward.
    lora: adapters, each PATH or PATH=WEIGHT. profile: "auto" or a name of `configs/profiles.yaml`; offload, dtype,
    attention, cache (none, NAME or NAME=THRESHOLD), quantize and compile replace what it says.
    vram_budget: such as 12GB, instead of the memory that is free.
    delivery: how the model's own size becomes the delivered one: "auto" is the model's usual way, "lanczos" resamples,
    a preset ("fast", "balanced", "quality") is a super-resolution network.
    upscale: enlarge the delivered clip: SCALE or SCALE:PRESET, such as 2x or 4x:fast (2x, 4x, 8x; preset balanced).
    fit: how a photograph of another shape meets the clip's: "cover" crops, "pad" adds borders.
    overwrite: whether a file at output_path that is none of ours may be replaced.
    score: whether the temporal score is taken. device: "auto", "cpu" or "cuda".
    """

    input_image: Path
    prompt: str | None = None
    template: str | None = None
    set: dict[str, str] = Field(default_factory=dict)
    negative_prompt: str | None = None
    output_path: Path | None = None
    overwrite: bool = False
    model: str = "auto"
    mode: Mode = "optimized"
    seed: Seed | None = None
    num_frames: Annotated[int, Field(ge=1)] | None = None
    height: Annotated[int, Field(ge=16, le=4320)] | None = None
    width: Annotated[int, Field(ge=16, le=7680)] | None = None
    fps: Annotated[float, Field(ge=1, le=120)] | None = None
    num_inference_steps: StepCount | None = None
    guidance_scale: GuidanceScale | None = None
    scheduler: Literal["dpm", "ddim"] | None = None
    guidance_interval: tuple[float, float] | None = None
    lora: tuple[str, ...] = ()
    profile: str = "auto"
    offload: Literal["auto", "none", "text", "model", "group", "paged", "sequential"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    attention: Literal["auto", "flash", "cudnn", "efficient", "math"] | None = None
    cache: str | None = None
    quantize: Literal["none", "int8", "fp8"] | None = None
    compile: bool | None = None
    vram_budget: str | None = None
    delivery: Literal["auto", "lanczos", "fast", "balanced", "quality"] = "auto"
    upscale: str | None = None
    fit: Fit = "cover"
    score: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, prompt: str | None) -> str | None:
        if prompt is not None and not prompt.strip():
            raise ValueError("must not be empty: say what happens in the clip")
        return prompt

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
            begin, end = (float(part) for part in (value.split(",") if isinstance(value, str) else value))
        except (TypeError, ValueError):
            begin, end = 1.0, 0.0
        if not 0 <= begin < end <= 1:
            raise ValueError("must be FROM,UNTIL with 0 <= FROM < UNTIL <= 1, such as 0,0.8")
        return begin, end

    @field_validator("lora", mode="before")
    @classmethod
    def _adapters(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("upscale")
    @classmethod
    def _enlarging(cls, value: str | None) -> str | None:
        if value is not None and parse_upscale(value) is None:
            raise ValueError("must be 2x, 4x or 8x, with a preset if wanted (fast, balanced, quality), such as 2x:fast")
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


UNITS = {"GB": 10**9, "GIB": 2**30, "MB": 10**6, "MIB": 2**20}


def parse_bytes(text: str) -> int | None:
    """ "12GB" as bytes; None when the text is no amount of memory."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB)\s*", text, re.IGNORECASE)
    return round(float(match[1]) * UNITS[match[2].upper()]) if match else None


def parse_upscale(text: str) -> tuple[int, str] | None:
    """Scale and preset of "2x" or "4x:fast"; None where it is no such text."""
    match = re.fullmatch(r"([248])x(?::(fast|balanced|quality))?", text)
    return (int(match[1]), match[2] or "balanced") if match else None


def parse_assignments(items: list[str]) -> dict[str, str]:
    """Turn `["city=Lyon"]` into `{"city": "Lyon"}`; raises BadInputError on an item without `=`."""
    for item in items:
        if not re.match(r"[A-Za-z_]\w*=", item):
            raise BadInputError(f"--set takes SLOT=VALUE, got {item!r}; for example --set city=Lyon")
    return dict(item.split("=", 1) for item in items)


def build_request(flags: dict[str, Any], config: Path | None = None) -> Request:
    """Merge in order defaults, config file, `NEWSREEL_<FIELD>` variables, flags; None means "not given".

    Raises BadInputError naming where a wrong value came from.
    """
    layers = [(str(config), read_yaml(config))] if config else []
    layers.append(("environment", _from_environment()))
    layers.append(("request", {key: value for key, value in flags.items() if value is not None}))
    merged: dict[str, Any] = {}
    for _, values in layers:
        merged |= values
    for name, values in layers:
        validate(_needed(values), Request, name)  # so that the error names the file or the variables it came from
    return validate(merged, Request, "request")


def _needed(values: dict[str, Any]) -> dict[str, Any]:
    """One layer on its own, with a stand-in for the one field that has no default."""
    return {"input_image": "any"} | values


def _from_environment() -> dict[str, Any]:
    """Fields set as NEWSREEL_MODEL, NEWSREEL_SEED and so on; pydantic turns the strings into types."""
    names = {field: f"NEWSREEL_{field.upper()}" for field in Request.model_fields}
    found: dict[str, Any] = {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}
    if "set" in found:
        found["set"] = parse_assignments(found["set"].split(","))
    return found
