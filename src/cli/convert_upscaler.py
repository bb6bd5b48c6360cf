"""The command behind `src.convert_upscaler`: weights of a community network, pickled or in ncnn's
form, become safetensors, once.
"""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError

OPTIONS: dict[str, Any] = {
    "input": value(Path, "Published weights: .pth, .pt, .ckpt, or ncnn's .param beside its .bin."),
    "output": value(Path, "File to write (.safetensors)."),
    "quiet": QUIET,
}


def convert_upscaler_app() -> typer.Typer:
    """A file that holds more than weights is refused; nothing of it runs."""
    return make_app(
        OPTIONS, "Convert published weights of a community network to safetensors.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        if values["input"] is None or values["output"] is None:
            raise BadInputError("give --input FILE.pth or FILE.param, --output FILE.safetensors")
        from src.upscaling.convert import convert

        print(convert(values["input"], values["output"]))
