"""API keys and logins. Only hashes are stored: a key has 256 random bits,
so one SHA-256 is enough.
"""

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from src.accounts.persons import ERASED as NO_NAME
from src.accounts.persons import Pseudonyms
from src.accounts.rights import Right, Role, as_text, from_text
from src.core.errors import BadInputError
from src.database.database import Clock, Database, batches
from src.database.locks import AUDIT, take_lock
from src.database.tables import keys, logins, releases
from src.journal.entries import COMMAND, SERVICE, Act, append

PREFIX = "nr_"
OPEN = "open"
"""The id of everybody, where the service asks for no keys."""
LOGIN_S = 12 * 3600.0
PER_MINUTE, PER_DAY = 60, 2000
ERASED = "erased"


@dataclass(frozen=True)
class Account:
    """One API key, without its secret. per_minute, per_day: how many submissions it may make.

    breaking: whether it may submit jobs of priority `breaking`. desk: keys of one desk see each
    other's jobs; "" is no desk. person: whose key it is; "" for a service's.
    """

    id: str
    name: str
    rights: frozenset[Right]
    created_at: float
    revoked_at: float | None = None
    per_minute: int = PER_MINUTE
    per_day: int = PER_DAY
    breaking: bool = False
    desk: str = ""
    person: str = ""

    def may(self, right: str) -> bool:
        """Whether it has this right; none stands for another."""
        return right in self.rights


@dataclass(frozen=True)
class Login:
    """A browser's session: the account, and what its forms must send back."""

    account: Account
    csrf: str


class Accounts:
    """Creates, checks and revokes keys; opens and closes logins."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self.database, self.clock = database, clock
        self.pseudonyms = Pseudonyms(database)

    def create(
        self, name: str, role: Role, per_minute: int = PER_MINUTE, per_day: int = PER_DAY,
        breaking: bool | None = None, desk: str = "", rights: Collection[Right] = (),
        person: str = "", by: str = COMMAND,
    ) -> tuple[str, Account]:  # fmt: skip
        """A new key: its secret, shown this once, and its account. rights: besides those of the
        role. breaking: None gives it to admins. person: whose it is. by: who makes it, for the
        audit log. Raises BadInputError, also where a key that approves is nobody's.
        """
        _check_name(name)
        _check_desk(desk)
        granted = Role(role).rights | frozenset(rights)
        _check_person(person, granted)
        secret = PREFIX + secrets.token_urlsafe(32)
        urgent = role == Role.ADMIN if breaking is None else breaking
        account = Account(
            secrets.token_hex(6), name, granted, self.clock(), None, per_minute, per_day, urgent,
            desk, person,
        )  # fmt: skip
        pseudonym = self.pseudonyms.of(person)
        with self.database.write() as connection:
            _add(connection, secret, account, pseudonym, by)
        return secret, account

    def create_first(self, per_minute: int, per_day: int) -> tuple[str, Account] | None:
        """An admin's key, as of `create`, where nobody has one yet; None where somebody has, or
        had. Of services that start at the same time one makes it.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        account = Account(
            secrets.token_hex(6), "first", Role.ADMIN.rights, self.clock(), None, per_minute,
            per_day, True,
        )  # fmt: skip
        with self.database.write() as connection:
            take_lock(connection, AUDIT)
            if connection.execute(select(keys.c.id).limit(1)).scalar() is not None:
                return None
            _add(connection, secret, account, "", SERVICE)
        return secret, account

    def find(self, secret: str) -> Account | None:
        """The account of a key that is not revoked."""
        query = select(keys).where(
            keys.c.hash == secret_digest(secret), keys.c.revoked_at.is_(None)
        )
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return _account(row) if row else None

    def all(self) -> list[Account]:
        """Every account, revoked ones too, oldest first."""
        with self.database.read() as connection:
            return [
                _account(row)
                for row in connection.execute(select(keys).order_by(keys.c.created_at))
            ]

    def revoke(self, key_id: str, by: str = COMMAND) -> None:
        """End a key and its logins. Raises BadInputError where there is no such key in use."""
        live = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        with self.database.write() as connection:
            if not connection.execute(live.values(revoked_at=self.clock())).rowcount:
                raise BadInputError(
                    f"no key in use has the id {key_id!r}; python -m src.api_keys list shows them"
                )
            connection.execute(delete(logins).where(logins.c.key_id == key_id))
            append(connection, [Act(by, "key.revoke", key_id)])

    def assign(self, key_id: str, desk: str, by: str = COMMAND) -> None:
        """Put a key at a desk; "" takes it away from any. Raises BadInputError."""
        _check_desk(desk)
        with self.database.write() as connection:
            _change(connection, key_id, {"desk": desk})
            append(connection, [Act(by, "key.desk", key_id, {"desk": desk})])

    def persons(self, ids: Collection[str]) -> dict[str, str]:
        """The pseudonym of the person of each of these keys; "" for a service's."""
        found: dict[str, str] = {}
        for some in batches(sorted(ids)):
            with self.database.read() as connection:
                query = select(keys.c.id, keys.c.person).where(keys.c.id.in_(some))
                rows = connection.execute(query).all()
            found |= {row.id: self.pseudonyms.of(row.person) for row in rows}
        return found

    def grant(
        self, key_id: str, rights: Collection[Right], person: str | None = None, by: str = COMMAND
    ) -> str:
        """Give a key just these rights. person: whose it is from now on, "" for a service's; None
        keeps it. Returns whose it is. Raises BadInputError, also for another person while a clip
        of this key is under approval: four eyes go by who made and submitted it.
        """
        self.pseudonyms.secret()
        with self.database.write() as connection:
            before = _in_use(connection, key_id)
            take_lock(connection, AUDIT)  # a clip that was submitted until now is seen below
            now = before if person is None else person
            _check_person(now, frozenset(rights))
            pseudonym = self.pseudonyms.of(now)
            if pseudonym != self.pseudonyms.of(before):
                _check_free(connection, key_id)
            _change(connection, key_id, {"rights": as_text(rights), "person": now})
            told = {"rights": sorted(rights), "person": pseudonym}
            append(connection, [Act(by, "key.rights", key_id, told)])
        return now

    def erase(self, key_id: str, by: str = COMMAND) -> None:
        """Forget the names that a revoked key had: the audit log keeps its id and the person's
        pseudonym, and so does the key, for nobody is to approve own clips afterwards. Raises
        BadInputError for a key in use.
        """
        self.pseudonyms.secret()
        with self.database.write() as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
            if row is not None and row.revoked_at is None:
                raise BadInputError(
                    f"the key {key_id} is in use; python -m src.api_keys revoke it first"
                )
            pseudonym = self.pseudonyms.of(row.person) if row is not None else ""
            left = f"{NO_NAME}{pseudonym}" if pseudonym else ""
            _change(connection, key_id, {"name": ERASED, "person": left})
            append(connection, [Act(by, "key.erase", key_id)])

    def log_in(self, account: Account) -> tuple[str, Login]:
        """A session for a browser: the cookie's value, and the login."""
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        with self.database.write() as connection:
            connection.execute(delete(logins).where(logins.c.expires < self.clock()))
            connection.execute(
                insert(logins).values(
                    hash=secret_digest(cookie),
                    key_id=account.id,
                    csrf=csrf,
                    expires=self.clock() + LOGIN_S,
                )
            )
        return cookie, Login(account, csrf)

    def session(self, cookie: str) -> Login | None:
        """The login of a cookie, while it lasts and its key is not revoked."""
        query = select(keys, logins.c.csrf).join_from(logins, keys, logins.c.key_id == keys.c.id)
        live = (
            (logins.c.hash == secret_digest(cookie))
            & (logins.c.expires > self.clock())
            & keys.c.revoked_at.is_(None)
        )
        with self.database.read() as connection:
            row = connection.execute(query.where(live)).one_or_none()
        return Login(_account(row), row.csrf) if row else None

    def log_out(self, cookie: str) -> None:
        """End a browser's session."""
        with self.database.write() as connection:
            connection.execute(delete(logins).where(logins.c.hash == secret_digest(cookie)))


def _add(connection: Connection, secret: str, account: Account, pseudonym: str, by: str) -> None:
    values = {name: getattr(account, name) for name in Account.__dataclass_fields__}
    values |= {"hash": secret_digest(secret), "rights": as_text(account.rights)}
    told = {"rights": sorted(account.rights), "person": pseudonym, "breaking": account.breaking}
    connection.execute(insert(keys).values(values))
    append(connection, [Act(by, "key.create", account.id, told)])


def _change(connection: Connection, key_id: str, values: dict[str, Any]) -> None:
    """Raises BadInputError where there is no such key."""
    if not connection.execute(update(keys).where(keys.c.id == key_id).values(values)).rowcount:
        raise BadInputError(f"no key has the id {key_id!r}; python -m src.api_keys list shows them")


def _in_use(connection: Connection, key_id: str) -> str:
    """The person of a key in use. Raises BadInputError."""
    live = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
    person = connection.execute(select(keys.c.person).where(live).with_for_update()).scalar()
    if person is None:
        raise BadInputError(
            f"no key in use has the id {key_id!r}; python -m src.api_keys list shows them"
        )
    return str(person)


def _check_free(connection: Connection, key_id: str) -> None:
    involved = (releases.c.owner == key_id) | (releases.c.submitter == key_id)
    waits = select(releases.c.id).where(involved, releases.c.state.in_(("submitted", "approved")))
    if (found := connection.execute(waits.limit(1)).scalar()) is not None:
        raise BadInputError(
            f"release {found} of the key {key_id} is under approval; decide about it, or take it "
            "back, before the key is another person's"
        )


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 100:
        raise BadInputError("a key needs a name of 1 to 100 characters, such as its newsroom")
    if not name.isprintable():
        raise BadInputError("a key's name is one line of plain text, without control characters")


def _check_person(person: str, rights: Collection[Right]) -> None:
    if len(person) > 100 or not person.isprintable() or person != person.strip():
        raise BadInputError("a person is a name of at most 100 characters, such as Anna Berg")
    if person.startswith(NO_NAME):
        raise BadInputError(f"a person's name does not begin with {NO_NAME!r}")
    if Right.APPROVE in rights and not person:
        raise BadInputError("a key that may approve belongs to a person: say whose, with --person")


def _check_desk(desk: str) -> None:
    if len(desk) > 100 or not desk.isprintable() or desk != desk.strip():
        raise BadInputError("a desk is a name of at most 100 characters, such as sports")


def secret_digest(secret: str) -> str:
    """SHA-256 of a secret, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _account(row: object) -> Account:
    values: dict[str, Any] = {name: getattr(row, name) for name in Account.__dataclass_fields__}
    values["rights"] = from_text(values["rights"])
    values["person"] = "" if values["person"].startswith(NO_NAME) else values["person"]
    return Account(**values)
