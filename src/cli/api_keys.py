"""The command that creates, revokes and lists API keys."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from src.console.output import command, print_json

if TYPE_CHECKING:
    from src.accounts.accounts import Accounts

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def api_keys_app() -> typer.Typer:
    """create prints a new key, this once; list shows accounts without their secrets; revoke ends
    one.
    """
    app = typer.Typer(add_completion=False, no_args_is_help=True, help="Keys of the HTTP service.")
    app.command("create", help="Make a key and print it, this once.")(_create)
    app.command("list", help="Show all keys, without their secrets.")(_list)
    app.command("revoke", help="End a key and its logins at once.")(_revoke)
    app.command("grant", help="Give a key just these rights, and say whose it is.")(_grant)
    app.command("desk", help="Put a key at a desk, whose keys see each other's jobs.")(_desk)
    return app


def _accounts() -> "Accounts":
    from src.accounts.accounts import Accounts
    from src.database.database import Database
    from src.database.settings import database_url

    database = Database(database_url())
    database.migrate()
    return Accounts(database)


def _create(
    name: Annotated[str, typer.Argument(help="Whose key, such as a newsroom.")],
    role: Annotated[str, typer.Option(help="read, submit or admin.")] = "submit",
    per_minute: Annotated[int, typer.Option(min=0, help="Submissions a minute.")] = 60,
    per_day: Annotated[int, typer.Option(min=0, help="Submissions a day.")] = 2000,
    breaking: Annotated[
        bool, typer.Option("--breaking", help="May submit breaking news; an admin may.")
    ] = False,
    desk: Annotated[str, typer.Option(help="Keys of one desk see each other's jobs.")] = "",
    right: Annotated[
        list[str] | None,
        typer.Option(help="Besides the role's: approve, release. Repeat for both."),
    ] = None,
    person: Annotated[str, typer.Option(help="Whose key it is; none: a service's.")] = "",
    json: Json = False,
) -> None:
    from src.accounts.rights import Role, as_text

    with command(json):
        secret, account = _accounts().create(
            name, _one_of(Role, role, "--role"), per_minute, per_day, breaking or None, desk,
            _rights(right or []), person,
        )  # fmt: skip
        if json:
            print_json({"id": account.id, "key": secret, "rights": sorted(account.rights)})
        else:
            print(f"{secret}\n(id {account.id}, {as_text(account.rights)}; it is not shown again)")


def _one_of(kind: Any, value: str, flag: str) -> Any:
    from src.core.errors import BadInputError

    if value not in list(kind):
        raise BadInputError(f"{flag} is {value!r}; it must be one of: {', '.join(kind)}")
    return kind(value)


def _rights(names: list[str]) -> list[Any]:
    from src.accounts.rights import Right

    return [_one_of(Right, name, "--right") for name in names]


def _grant(
    key_id: Annotated[str, typer.Argument(help="The key's id, as list shows it.")],
    right: Annotated[list[str], typer.Argument(help="All that it may from now on.")],
    person: Annotated[
        str | None, typer.Option(help="Whose key it is from now on; not given: as it was.")
    ] = None,
    nobody: Annotated[
        bool, typer.Option("--no-person", help="A service's key from now on, and nobody's.")
    ] = False,
    json: Json = False,
) -> None:
    with command(json):
        wanted = _whose(person, nobody)
        now = _accounts().grant(key_id, _rights(right), wanted)
        if json:
            print_json({"id": key_id, "rights": sorted(set(right)), "person": now})
        else:
            print(f"key {key_id} may {' '.join(sorted(set(right)))}{_of({'person': now})}")


def _whose(person: str | None, nobody: bool) -> str | None:
    """None keeps it."""
    from src.core.errors import BadInputError

    if person == "" or (nobody and person is not None):
        raise BadInputError("--person names whose key it is; --no-person alone makes it nobody's")
    return "" if nobody else person


def _list(json: Json = False) -> None:
    from dataclasses import asdict

    with command(json):
        accounts = [
            asdict(account) | {"rights": sorted(account.rights)} for account in _accounts().all()
        ]
        if json:
            print_json({"keys": accounts})
        for account in () if json else accounts:
            print(_line(account))


def _line(account: dict[str, Any]) -> str:
    state = "revoked" if account["revoked_at"] else "in use"
    limits = (
        f"{account['per_minute']}/min "
        f"{account['per_day']}/day{' breaking' if account['breaking'] else ''}"
    )
    return (
        f"{account['id']}  {' '.join(account['rights']):<12}  {state:<7}  {limits:<27}  "
        f"{account['name']}{_of(account)}{_at(account)}"
    )


def _of(account: dict[str, Any]) -> str:
    return f", {account['person']}'s" if account["person"] else ""


def _at(account: dict[str, Any]) -> str:
    return f"  (desk {account['desk']})" if account["desk"] else ""


def _revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as list shows it.")],
    json: Json = False,
) -> None:
    with command(json):
        _accounts().revoke(key_id)
        if json:
            print_json({"revoked": key_id})
        else:
            print(f"key {key_id} is revoked")


def _desk(
    key_id: Annotated[str, typer.Argument(help="The key's id, as list shows it.")],
    name: Annotated[
        str, typer.Argument(help="The desk; an empty name takes the key away from any.")
    ],
    json: Json = False,
) -> None:
    with command(json):
        _accounts().assign(key_id, name)
        if json:
            print_json({"id": key_id, "desk": name})
        else:
            print(
                f"key {key_id} is at the desk {name!r}" if name else f"key {key_id} is at no desk"
            )
