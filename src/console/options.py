"""The shared vocabulary (`src/core/request.py`) as command-line options, of which each command
takes what it needs.
"""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from src.core.option import PublicField
from src.core.request import FIELDS


def value(kind: Any, text: str, *names: str, metavar: str | None = None) -> Any:
    """An option with a value; None means "not given", so that files and variables can speak."""
    told: dict[str, Any] = {"help": text, "metavar": metavar}
    if kind is Path:
        told |= NAMED_PATH
    return Annotated[kind | None, typer.Option(*names, **told)]


def named_path(text: str) -> Path:
    """The path that a person typed; an empty one, of a variable that is not set, would be the
    current folder.
    """
    if not text:
        raise typer.BadParameter("it is empty; name a file or a folder")
    return Path(text)


NAMED_PATH: dict[str, Any] = {"parser": named_path, "metavar": "<path>"}
"""How Typer is to read an option that is a path; an argument has the parser alone."""


def switch(text: str, name: str) -> Any:
    return Annotated[bool, typer.Option(name, help=text)]


def option_of(field: PublicField, text: str = "") -> Any:
    """The option of a field of the vocabulary: a switch both ways, a repeated one, or one with a
    value.

    text: the help, where it is not the field's own.
    """
    text = text or field.help
    if field.kind is bool:
        names = f"{field.flag}/{field.flag.replace('--', '--no-', 1)}"
        return Annotated[bool | None, typer.Option(names, help=text)]
    kind = list[str] if field.kind is list else field.kind
    return value(kind, text, field.flag, metavar=field.option.metavar)


def options_for(
    takes: Callable[[PublicField], bool], baseline: bool = False, usual: bool = True
) -> dict[str, Any]:
    """Options of the fields that a command takes.

    baseline: whether it runs the stock pipeline, which takes less. usual: whether it takes a
    field's default where nothing is said, as commands over files do not.
    """
    return {
        name: option_of(field, _help(field, baseline, usual))
        for name, field in FIELDS.items()
        if takes(field)
    }


def _help(field: PublicField, baseline: bool, usual: bool) -> str:
    choices = field.stock_choices() if baseline else field.choices
    return field.help_for(choices, usual and field.says_default)


VOCABULARY: dict[str, Any] = options_for(lambda _: True)
CONFIG = value(Path, "YAML file with any of these as keys.")
JSON = switch("One JSON object on standard output, all else on standard error.", "--json")
QUIET = switch("Warnings and errors only.", "--quiet")
SIGN = switch("Sign the finished file (C2PA): --finishers c2pa, after all others.", "--sign")


def make_command(
    options: dict[str, Any], body: Callable[[dict[str, Any]], None]
) -> Callable[..., None]:
    """A function with one keyword parameter for each option, for Typer to read; it calls `body`
    with the values.
    """

    def run(**values: Any) -> None:
        body(values)

    run.__signature__ = inspect.Signature(list(_parameters(options)))  # type: ignore[attr-defined]
    run.__annotations__ = dict(options)
    return run


def _parameters(options: dict[str, Any]) -> Iterable[inspect.Parameter]:
    for name, annotation in options.items():
        default = False if annotation.__args__[0] is bool else None
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def make_app(
    options: dict[str, Any], text: str, body: Callable[[dict[str, Any]], None]
) -> typer.Typer:
    """A Typer application with one command; `text` is its help."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=text)(make_command(options, body))
    return app
