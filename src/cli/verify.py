"""The command that says what a file says of itself, layer by layer. No network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from src.console.options import named_path
from src.console.output import command, print_json
from src.trust.settings import anchors
from src.verification.explaining import explained
from src.verification.layers import read_layers
from src.verification.register import HomeRegister
from src.watermark.keys import known_keys

CHANGED = 2
"""The exit code where a file is not what its layers say."""
Files = Annotated[list[Path], typer.Argument(parser=named_path, help="Clips, or photographs.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def verify_app() -> typer.Typer:
    """Exit 0 when nothing contradicts, 2 when something was changed."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    told = "Who signed a file, whether it was changed, what its watermark and its looks say."
    app.command(help=told)(_main)
    return app


def _main(files: Files, json: Json = False) -> None:
    with command(json):
        roots = anchors()
        known, keys = HomeRegister(), known_keys()
        marks = known.marks([key.id for key in keys])
        asked = roots, keys, marks, bool(known.prints())
        found = [explained(read_layers(path, *asked), known) for path in files]
        _answer(found, json)
    if any(each["changed"] for each in found):
        raise SystemExit(CHANGED)


def _answer(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(found[0] if len(found) == 1 else {"files": found})
        return
    for each in found:
        print(each["file"])
        for name, layer in each["layers"].items():
            print(f"  {name}: {layer['sentence'].removeprefix(f'{name}: ')}")
