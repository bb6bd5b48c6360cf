"""Whether the audit log is whole: every entry, its number, its hash, and what it follows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, cast, func, select

from src.database.database import Database
from src.database.tables import audit
from src.journal.entries import BEGINNING, digest

AT_ONCE = 2000
LOWEST = -(2**31)


@dataclass(frozen=True)
class Entry:
    """A row. text: canonical JSON, as `entries` writes it. whole: whether entry and hash are text,
    which SQLite does not see to: what is none is shown as well as it can be.
    """

    number: int
    text: str
    hash: str
    whole: bool = True


@dataclass(frozen=True)
class Finding:
    """What was found in a whole look. size, head: of the chain as it stands. problems: sentences;
    none where nothing contradicts.
    """

    size: int
    head: str
    problems: list[str]


def entries(database: Database, after: int = LOWEST) -> Iterator[Entry]:
    """Entries in order, read some at a time; those that come meanwhile too."""
    while True:
        with database.read() as connection:
            found = _some(connection, after)
        yield from found
        if len(found) < AT_ONCE:
            return
        after = found[-1].number


def _some(connection: Connection, after: int) -> list[Entry]:
    """PostgreSQL holds text alone. Of SQLite the bytes are read, and what they are said to be."""
    columns = audit.c.number, audit.c.entry, audit.c.hash
    if sqlite := connection.dialect.name == "sqlite":
        raw = (cast(each, LargeBinary) for each in columns[1:])
        kinds = (func.typeof(each) for each in columns[1:])
        columns = (audit.c.number, *raw, *kinds)
    query = select(*columns).where(audit.c.number > after).order_by(audit.c.number).limit(AT_ONCE)
    rows = connection.execute(query).all()
    return [_decoded(*row) if sqlite else Entry(*row) for row in rows]


def _decoded(number: int, entry: bytes | None, digested: bytes | None, *kinds: str) -> Entry:
    entry, digested = entry or b"", digested or b""
    try:
        return Entry(number, entry.decode(), digested.decode(), set(kinds) == {"text"})
    except UnicodeDecodeError:
        shown = (each.decode(errors="backslashreplace") for each in (entry, digested))
        return Entry(number, *shown, whole=False)


def check_log(database: Database, anchors: dict[int, str] | None = None) -> Finding:
    """Look at every entry. anchors: hashes that checkpoints name, by number. What was cut off the
    end is found by an anchor alone.
    """
    number, last, problems = 0, BEGINNING, []
    known = dict(anchors or {})
    for entry in entries(database):
        if entry.number < 1:
            problems.append(f"entry {entry.number} is none of the chain, which begins with 1")
            continue
        problems += _wrong(entry, number, last)
        wanted = known.pop(entry.number, entry.hash)
        if wanted != entry.hash:
            problems.append(f"entry {entry.number} is not the one that a checkpoint names")
        number, last = entry.number, entry.hash
    problems += [_cut(each, number) for each in sorted(known)]
    return Finding(number, last, problems)


def _cut(wanted: int, size: int) -> str:
    if wanted < size:
        return f"entry {wanted}, which a checkpoint names, is missing"
    return f"the end is cut off: a checkpoint names {wanted} entries, and there are {size}"


def _wrong(entry: Entry, before: int, last: str) -> list[str]:
    """What contradicts in one entry, which follows number `before` with the hash `last`."""
    if entry.number != before + 1:
        return [_gap(before + 1, entry.number - 1)]
    if not entry.whole:
        return [f"entry {entry.number} was changed: it is no text"]
    if digest(entry.text) != entry.hash:
        return [f"entry {entry.number} was changed: it does not have its hash"]
    told = read_entry(entry)
    if told.get("number") != entry.number:
        return [f"entry {entry.number} was moved: it says that it is {told.get('number')}"]
    if told.get("previous") != last:
        return [f"entry {entry.number} does not follow the one before it: one of them was replaced"]
    return []


def _gap(first: int, last: int) -> str:
    return (
        f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
    )


def read_entry(entry: Entry) -> dict[str, Any]:
    """What an entry tells; nothing where it is no JSON object any more."""
    try:
        told = json.loads(entry.text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
