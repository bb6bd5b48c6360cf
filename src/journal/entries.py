"""Entries of the audit log, appended in the transaction of what they tell.

Each is canonical JSON (sorted names, no spaces, ASCII) that holds its number, from 1 without gaps,
and the SHA-256 of the entry before it.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from src.core.errors import NewsreelError
from src.database.locks import AUDIT, take_lock

BEGINNING = "0" * 64
"""What the first entry names as the hash of the one before it."""
COMMAND, SERVICE = "command", "service"
"""Actors that are no keys: whoever may run commands on this machine, and the service itself."""
HEAD = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
ADD = {
    "sqlite": "INSERT INTO audit (number, entry, hash) VALUES (?, ?, ?)",
    "postgresql": "INSERT INTO audit (number, entry, hash) VALUES (%s, %s, %s)",
}
"""Written out, for every submission pays for them: half of what building them costs each time."""


class AuditError(NewsreelError):
    """An entry cannot be written, and so what it tells is not done."""

    http_status = 503


@dataclass(frozen=True)
class Act:
    """Something to keep. actor: a key's id, which is a pseudonym: its name is in the table of keys
    and can be erased; or COMMAND, SERVICE. action: such as release.approve. subject: id of the job,
    the release or the key. data: JSON without names and without words of persons, but for hashes.
    """

    actor: str
    action: str
    subject: str
    data: dict[str, Any] = field(default_factory=dict)


def append(connection: Connection, acts: Sequence[Act]) -> None:
    """Add entries, in order, to a transaction: as its last step, for on PostgreSQL it keeps all
    other writers of entries waiting until the commit. SQLite's writers are alone anyway. Raises
    AuditError.
    """
    if not acts:
        return
    take_lock(connection, AUDIT)
    number, last = head(connection)
    if not isinstance(last, str):
        raise AuditError(f"entry {number} of the audit log was changed, so nothing was done")
    rows: list[tuple[Any, ...]] = []
    at = int(time.time() * 1000)
    for act in acts:
        number += 1
        text = entry_text(number, at, act, last)
        last = digest(text)
        rows.append((number, text, last))
    try:
        connection.exec_driver_sql(ADD[connection.dialect.name], rows)
    except IntegrityError as error:
        raise AuditError("the audit log takes no entry, so nothing was done") from error


def head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest entry; 0 and BEGINNING where there is none."""
    row = connection.exec_driver_sql(HEAD).one_or_none()
    return (row[0], row[1]) if row else (0, BEGINNING)


def entry_text(number: int, at: int, act: Act, previous: str) -> str:
    """The entry as it is stored and hashed. at: milliseconds since the epoch."""
    told = {"action": act.action, "actor": act.actor, "at": at, "data": act.data,
            "number": number, "previous": previous, "subject": act.subject}  # fmt: skip
    return canonical(told)


def canonical(value: Any) -> str:
    """JSON of one form alone: names in order, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value: what an entry tells of words and requests."""
    return digest(canonical(value))
