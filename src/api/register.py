"""The register of marks and fingerprints, of jobs (the database) and of commands of this home."""

from collections.abc import Sequence

from src.core.register import Registered
from src.database import mark_rows
from src.database.database import Database
from src.database.tables import marks
from src.verification.register import HomeRegister


class ServiceRegister:
    """A `Register` that looks up what is asked for; the database is asked first."""

    def __init__(self, database: Database) -> None:
        self.database, self.home = database, HomeRegister()

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
        return found or self.home.of_mark(mark, key)

    def of_print(self, fingerprint: str) -> Registered | None:
        with self.database.read() as connection:
            found = mark_rows.oldest(connection, marks.c.fingerprint == fingerprint)
        return found or self.home.of_print(fingerprint)
