"""The command behind `src.prepare_refiner`: what --refine sdxl needs of the text encoders, once."""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.paths import REPOSITORY

OPTIONS: dict[str, Any] = {
    "folder": value(Path, "Folder of SDXL, with both text encoders [checkpoints/sdxl]."),
    "quiet": QUIET,
}


def prepare_refiner_app() -> typer.Typer:
    """The text encoders are not needed any more afterwards."""
    return make_app(OPTIONS, "Encode the one prompt of --refine sdxl, once.", _main)


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        from src.upscaling.sdxl.parts import encode_prompt_once

        print(encode_prompt_once(values["folder"] or REPOSITORY / "checkpoints" / "sdxl"))
