"""The command that looks after a service's data: check, backup, restore, move."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from src.console.options import named_path
from src.console.output import command, print_json

if TYPE_CHECKING:
    from src.database.database import Database

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Folder = Annotated[
    Path, typer.Argument(parser=named_path, help="A folder of its own for each backup.")
]


def service_data_app() -> typer.Typer:
    """Works on NEWSREEL_HOME and NEWSREEL_DATABASE, as the service does."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help="Data of the HTTP service.")
    app.command("check", help="Do home and database belong together? What lies in quarantine?")(
        _check
    )
    app.command("backup", help="Copy database and files, while the service runs or not.")(_backup)
    app.command(
        "restore", help="Fill an empty database from a backup, and put missing files back."
    )(_restore)
    app.command("move", help="Move to another, empty database, such as PostgreSQL.")(_move)
    return app


def _database(url: str | None = None) -> "Database":
    from src.database.database import Database
    from src.database.settings import database_url

    database = Database(url or database_url())
    database.migrate()
    return database


def _check(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let the home belong to this database.")
    ] = False,
    json: Json = False,
) -> None:
    from src.artifacts.registry import bind_store, open_store
    from src.core.addresses import QUARANTINE, name_of

    with command(json):
        files = open_store()
        shared = bind_store(_database(), files, adopt)
        aside = sorted(name_of(key) for key in files.list(QUARANTINE))
        if json:
            print_json({"id": shared, "quarantine": aside})
            return
        print(f"files and database belong together ({shared}); {len(aside)} file(s) in quarantine")
        for name in aside:
            print(name)


def _backup(folder: Folder, json: Json = False) -> None:
    from src.artifacts.registry import bind_store, open_store
    from src.core.paths import home
    from src.database.backup import back_up

    with command(json):
        database = _database()
        bind_store(database, open_store())
        jobs, files = back_up(database, home(), folder)
        _say(json, f"{jobs} job(s) and {files} file(s) are in {folder}", jobs=jobs, files=files)


def _restore(
    folder: Folder,
    replace: Annotated[
        bool, typer.Option("--replace", help="Set the SQLite file aside that is there now.")
    ] = False,
    json: Json = False,
) -> None:
    from src.artifacts.registry import open_store, place_of
    from src.core.paths import home
    from src.database import house
    from src.database.backup import find_backup, restore, set_aside
    from src.database.settings import database_url

    with command(json):
        with house.alone(home()):
            find_backup(folder)  # before anything is set aside
            aside = set_aside(database_url()) if replace else None
            place = place_of(open_store())
            note = None if isinstance(place, Path) else place
            jobs, files = restore(folder, _database(), home(), note)
        kept = f"; the database of before is {aside}" if aside else ""
        _say(json, f"{jobs} job(s) and {files} file(s) are back{kept}", jobs=jobs, files=files)


def _move(
    url: Annotated[
        str,
        typer.Argument(
            envvar="NEWSREEL_TARGET", help="Such as postgresql+psycopg://user:password@host/name."
        ),
    ],
    json: Json = False,
) -> None:
    from src.artifacts.registry import open_store, place_of
    from src.core.paths import home
    from src.database import house
    from src.database.backup import move

    with command(json):
        with house.alone(home()):
            jobs = move(_database(), place_of(open_store()), _database(url))
        _say(
            json,
            f"{jobs} job(s) moved; start the service with NEWSREEL_DATABASE set to that URL",
            jobs=jobs,
        )


def _say(as_json: bool, sentence: str, **values: int) -> None:
    if as_json:
        print_json(values)
    else:
        print(sentence)
