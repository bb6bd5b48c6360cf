"""The command behind `src.convert_upscaler`: pickled weights of a community network become
safetensors, once.
"""

from pathlib import Path
from typing import Any

import typer

from src.console.options import QUIET, make_app, value
from src.console.output import command
from src.core.errors import BadInputError

OPTIONS: dict[str, Any] = {
    "input": value(Path, "Weights as they are published: .pth, .pt or .ckpt."),
    "output": value(Path, "File to write (.safetensors)."),
    "quiet": QUIET,
}


def convert_upscaler_app() -> typer.Typer:
    """A file that holds more than weights is refused; nothing of it runs."""
    return make_app(
        OPTIONS, "Convert pickled weights of a community network to safetensors.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        if values["input"] is None or values["output"] is None:
            raise BadInputError("give --input FILE.pth and --output FILE.safetensors")
        from src.upscaling.convert import convert

        print(convert(values["input"], values["output"]))
