"""Persons by pseudonym: whether two keys are one person's, also where the name was erased."""

import hmac
import secrets
import unicodedata

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from src.database.database import Database
from src.database.tables import facts

FACT = "persons"
ERASED = "erased:"
"""What a key's person begins with whose name was erased; its pseudonym follows."""


class Pseudonyms:
    """Of one database: HMAC-SHA-256 of the name with a secret that is in the table of facts, so
    that nobody finds a name by trying, who has the audit log alone.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: bytes | None = None

    def of(self, person: str) -> str:
        """32 hexadecimal digits; "" for nobody. Case and spaces make no other person."""
        if not person or person.startswith(ERASED):
            return person.removeprefix(ERASED)
        plain = " ".join(unicodedata.normalize("NFKC", person).casefold().split())
        return hmac.new(self.secret(), plain.encode(), "sha256").hexdigest()[:32]

    def secret(self) -> bytes:
        """Made on the first call, which may not be within a transaction."""
        if self._known is None:
            self._known = bytes.fromhex(self._stored() or self._made())
        return self._known

    def _stored(self) -> str | None:
        with self.database.read() as connection:
            return connection.execute(select(facts.c.value).where(facts.c.name == FACT)).scalar()

    def _made(self) -> str:
        """Another process may make one at the same time: the first one counts."""
        wanted = secrets.token_hex(32)
        try:
            with self.database.write() as connection:
                connection.execute(insert(facts).values(name=FACT, value=wanted))
        except IntegrityError:
            return str(self._stored())
        return wanted
