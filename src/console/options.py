"""The shared vocabulary as command-line options: one table, from which each command takes what it needs."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer


def value(kind: Any, text: str, *names: str, metavar: str | None = None) -> Any:
    """An option with a value; None means "not given", so that files and variables can speak."""
    return Annotated[kind | None, typer.Option(*names, help=text, metavar=metavar)]


def switch(text: str, name: str) -> Any:
    return Annotated[bool, typer.Option(name, help=text)]


VOCABULARY: dict[str, Any] = {
    "input_image": value(Path, "Photograph: JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF."),
    "prompt": value(str, "What happens in the clip."),
    "template": value(str, "A press template instead of a prompt."),
    "set": value(list[str], "A slot of the template; repeat for more.", "--set", metavar="SLOT=VALUE"),
    "negative_prompt": value(str, "What the clip should keep away from."),
    "output_path": value(Path, "MP4 to write; without it, outputs/examples/<prompt>-<seed>.mp4."),
    "overwrite": Annotated[
        bool | None, typer.Option("--overwrite/--no-overwrite", help="Replace an output that is there and not ours.")
    ],
    "model": value(str, "auto, a model id, or a diffusers folder [auto]."),
    "seed": value(int, "Same seed, same clip; without it, one is drawn."),
    "num_frames": value(int, "Frames, where the model allows other counts."),
    "height": value(int, "Delivered height in pixels."),
    "width": value(int, "Delivered width in pixels."),
    "fps": value(float, "Frames a second [the model's own: 8, CogVideoX 1.5 16]."),
    "num_inference_steps": value(int, "Denoising steps."),
    "guidance_scale": value(float, "How strongly the prompt is followed; 1 is off."),
    "guidance_interval": value(str, "Part of the steps with guidance, 0 to 1.", metavar="FROM,UNTIL"),
    "scheduler": value(str, "dpm or ddim."),
    "lora": value(list[str], "A LoRA adapter; repeat for more.", "--lora", metavar="PATH[=WEIGHT]"),
    "profile": value(str, "auto, or one of configs/profiles.yaml [auto]."),
    "attention": value(str, "auto, flash, cudnn, efficient or math."),
    "cache": value(str, "Step cache: none, first_block, taylorseer or pyramid.", metavar="NAME[=THRESHOLD]"),
    "quantize": value(str, "none, int8 or fp8 transformer weights."),
    "compile": Annotated[bool | None, typer.Option("--compile/--no-compile", help="Compile blocks and decoder.")],
    "offload": value(str, "auto, none, text, model, group, paged or sequential [auto]."),
    "vram_budget": value(str, "Plan for this much GPU memory instead of what is free.", metavar="12GB"),
    "dtype": value(str, "auto, float32, float16 or bfloat16 [auto]."),
    "delivery": value(str, "auto, lanczos, fast, balanced or quality: from the model's size to the clip's [auto]."),
    "upscale": value(str, "Enlarge the clip: 2x, 4x or 8x, and a preset.", metavar="2x[:PRESET]"),
    "fit": value(str, "cover crops the photograph, pad adds borders [cover]."),
    "device": value(str, "auto, cpu or cuda [auto]."),
}
CONFIG = value(Path, "YAML file with any of these as keys.")
JSON = switch("One JSON object on standard output, all else on standard error.", "--json")
QUIET = switch("Warnings and errors only.", "--quiet")


def make_command(options: dict[str, Any], body: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """A function with one keyword parameter for each option, for Typer to read; it calls `body` with the values."""

    def run(**values: Any) -> None:
        body(values)

    run.__signature__ = inspect.Signature(list(_parameters(options)))  # type: ignore[attr-defined]
    run.__annotations__ = dict(options)
    return run


def _parameters(options: dict[str, Any]) -> Iterable[inspect.Parameter]:
    for name, annotation in options.items():
        default = False if annotation.__args__[0] is bool else None
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def make_app(options: dict[str, Any], text: str, body: Callable[[dict[str, Any]], None]) -> typer.Typer:
    """A Typer application with one command; `text` is its help."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=text)(make_command(options, body))
    return app
