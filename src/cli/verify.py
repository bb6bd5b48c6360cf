"""The command that says what signed provenance files carry. No network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from src.console.output import command, print_json
from src.trust.settings import anchors
from src.trust.verdict import verify

CHANGED = 2
"""The exit code where a file is not what its layers say."""
Files = Annotated[list[Path], typer.Argument(help="Clips, or photographs.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def verify_app() -> typer.Typer:
    """Exit 0 when nothing contradicts, 2 when something was changed."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.command(help="Say who signed a file, and whether it was changed since.")(_main)
    return app


def _main(files: Files, json: Json = False) -> None:
    with command(json):
        roots = anchors()
        found = [verify(path, roots) for path in files]
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
