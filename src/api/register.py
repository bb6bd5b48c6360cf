"""The register of marks and fingerprints, of jobs (the database) and of commands of this home."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from src.core.register import Registered
from src.database import mark_rows
from src.database.database import Database
from src.database.tables import marks
from src.verification.register import HomeRegister

UNSEEN = "a clip of this service that this key may not see"
"""In place of a name, which begins with the prompt."""


class ServiceRegister:
    """A `Register` that looks up what is asked for; the database is asked first. sees: whether who
    asks may see a job; of others there is no name, and of clips that commands made neither.
    """

    def __init__(self, database: Database, sees: Callable[[str], bool]) -> None:
        self.database, self.home, self.sees = database, HomeRegister(), sees

    def _shown(self, found: Registered | None) -> Registered | None:
        if found is None or self.sees(found.job):
            return found
        return replace(found, artifact=UNSEEN, sha256="", job="")

    def marks(self, keys: Sequence[str]) -> dict[str, list[str]]:
        with self.database.read() as connection:
            found = mark_rows.marks_of(connection, keys)
        for key, ids in self.home.marks(keys).items():
            found[key] = list(dict.fromkeys([*found.get(key, []), *ids]))
        return found

    def prints(self) -> list[str]:
        with self.database.read() as connection:
            return [*mark_rows.prints(connection), *self.home.prints()]

    def has_prints(self) -> bool:
        """Whether there is one to compare with."""
        with self.database.read() as connection:
            some = mark_rows.oldest(connection, marks.c.fingerprint != "") is not None
        return some or bool(self.home.prints())

    def of_mark(self, mark: str, key: str) -> Registered | None:
        with self.database.read() as connection:
            found = mark_rows.oldest(connection, marks.c.mark == mark, marks.c.key == key)
        return self._shown(found or self.home.of_mark(mark, key))

    def of_print(self, fingerprint: str) -> Registered | None:
        with self.database.read() as connection:
            found = mark_rows.oldest(connection, marks.c.fingerprint == fingerprint)
        return self._shown(found or self.home.of_print(fingerprint))
