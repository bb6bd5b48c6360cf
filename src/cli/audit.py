"""The command that checks, exports and anchors the audit log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from src.console.options import NAMED_PATH, named_path
from src.console.output import command, print_json

if TYPE_CHECKING:
    from src.database.database import Database

WRONG = 2
"""The exit code where the log is not whole."""
EMPTY = "the log is empty; --may-be-empty, without a checkpoint, says that it may be"
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
KeyFile = Annotated[Path, typer.Option("--key", help="The signing key, PEM.", **NAMED_PATH)]


def audit_app() -> typer.Typer:
    """verify exits 0 when the log is whole, 2 when something was changed, taken out or cut off."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help="The service's audit log.")
    app.command("verify", help="Look at every entry, and at checkpoints kept elsewhere.")(_verify)
    app.command("export", help="Write the entries, one JSON object a line.")(_export)
    app.command("checkpoint", help="Sign how long the log is and what its last hash is.")(_sign)
    app.command("key", help="Make a key for checkpoints.")(_key)
    app.command("erase", help="Forget the names of a revoked key; entries keep its id.")(_erase)
    return app


def _database() -> "Database":
    from src.database.settings import database_url
    from src.journal.opening import open_log

    return open_log(database_url())


def _verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint's file. Repeat for more.", **NAMED_PATH),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option("--public-key", help="Of the key that signed them, PEM.", **NAMED_PATH),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--may-be-empty", help="A log without entries is no problem.")
    ] = False,
    json: Json = False,
) -> None:
    from src.journal.checking import check_log

    with command(json):
        found = check_log(_database(), _anchors(checkpoint or [], public))
        excused = found.size or (empty and not checkpoint)
        problems = found.problems if excused else [*found.problems, EMPTY]
        if json:
            print_json({"size": found.size, "head": found.head, "problems": problems})
        else:
            _say(found.size, found.head, problems)
    if problems:
        raise SystemExit(WRONG)


def _anchors(paths: list[Path], public: Path | None) -> dict[int, str]:
    from src.core.errors import BadInputError
    from src.journal.checkpoints import read_checkpoint

    if not paths:
        return {}
    if public is None:
        raise BadInputError("--checkpoint needs --public-key, the .pub file of the key that signed")
    return dict(anchor for anchor in (read_checkpoint(path, public) for path in paths) if anchor[0])


def _say(size: int, head: str, problems: list[str]) -> None:
    for each in problems:
        print(each)
    if not problems:
        print(f"whole: {size} entries, the last hash is {head}" if size else "the log is empty")


def _export(
    out: Annotated[
        Path | None, typer.Option(help="A file; none: standard output.", **NAMED_PATH)
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Entries after this number.")] = 0,
) -> None:
    from src.core.durable import write_pieces
    from src.journal.checking import entries

    with command():
        lines = (f"{_line(each)}\n" for each in entries(_database(), after))
        if out is not None:
            write_pieces(out, (line.encode() for line in lines))
        for line in () if out is not None else lines:
            print(line, end="")


def _line(entry: Any) -> str:
    """The entry's own text, which is what its hash is of, and the hash. What is no text, or no
    JSON any more, is a string.
    """
    from src.journal.checking import read_entry
    from src.journal.entries import canonical

    if not entry.whole or not read_entry(entry):
        told = {"hash": entry.hash, "number": entry.number, "unreadable": entry.text}
        return canonical(told)
    return f'{{"entry":{entry.text},"hash":{canonical(entry.hash)}}}'


def _sign(
    key: KeyFile,
    out: Annotated[Path, typer.Option(help="A folder, best of another machine.", **NAMED_PATH)],
    json: Json = False,
) -> None:
    from src.journal.checkpoints import make_checkpoint, save

    with command(json):
        told = make_checkpoint(_database(), key)
        path = save(told, out)
        if json:
            print_json(told | {"file": str(path)})
        else:
            print(f"{path}: {told['size']} entries; keep it where nobody of this machine may write")


def _key(
    path: Annotated[
        Path,
        typer.Argument(parser=named_path, help="Where the signing key goes; PATH.pub beside it."),
    ],
    json: Json = False,
) -> None:
    from src.journal.checkpoints import make_key

    with command(json):
        public = make_key(path)
        if json:
            print_json({"key": str(path), "public": str(public)})
        else:
            print(f"{path} signs; give {public} to whoever is to check")


def _erase(
    key_id: Annotated[str, typer.Argument(help="The id of a revoked API key.")], json: Json = False
) -> None:
    from src.accounts.accounts import Accounts

    with command(json):
        Accounts(_database()).erase(key_id)
        if json:
            print_json({"erased": key_id})
        else:
            print(f"the names of key {key_id} are erased; its entries stay")
