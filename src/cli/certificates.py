"""The command that makes an own certificate authority, or renews what it issued."""

from pathlib import Path
from typing import Annotated

import typer

from src.console.options import named_path
from src.console.output import command, print_json
from src.trust.authority import ORGANISATION, make_authority, renew
from src.trust.settings import ANCHORS, CERTIFICATE, KEY

Folder = Annotated[Path, typer.Argument(parser=named_path, help="Where keys and certificates go.")]
Renew = Annotated[bool, typer.Option("--renew", help="A new signing certificate from that folder.")]
Who = Annotated[str, typer.Option(help="The name that readers of clips see.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def certificates_app() -> typer.Typer:
    """For trials: nobody trusts such signatures but those who configure the folder's root.pem."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.command(help="Make an own certificate authority (root, intermediate, signing).")(_main)
    return app


def _main(
    folder: Folder, organisation: Who = ORGANISATION, renew_it: Renew = False, json: Json = False
) -> None:
    with command(json):
        if renew_it:
            renew(folder)
        else:
            make_authority(folder, organisation)
        variables = {
            KEY: str(folder / "leaf.key"),
            CERTIFICATE: str(folder / "chain.pem"),
            ANCHORS: str(folder / "root.pem"),
        }
        if json:
            print_json(variables)
        for name, value in () if json else variables.items():
            print(f"{name}={value}")
