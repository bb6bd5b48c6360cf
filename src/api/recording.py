"""What the audit log hears of besides decisions: looks at unreleased clips, verifications, and
settings that are others than at the last start.
"""

import threading
import time
from typing import Any

from sqlalchemy import delete, insert, select

from src.accounts.accounts import Account
from src.database.database import Database
from src.database.locks import AUDIT, take_lock
from src.database.tables import facts
from src.journal.entries import SERVICE, Act, append, digest_of

AGAIN_S = 600.0
"""A player asks for a clip piece by piece: a key's look at one clip is one entry for so long."""
MOST = 5000
SETTINGS = "settings"


class Recording:
    """Entries that stand for themselves. What cannot be written is not done: the error goes up."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def download(self, account: Account, subject: str, sha256: str | None) -> None:
        """A clip that is not released went to this key. subject: its job."""
        look, now = (account.id, subject), time.monotonic()
        with self._lock:
            if now - self._seen.get(look, -AGAIN_S) < AGAIN_S:
                return
        self._add(Act(account.id, "clip.download", subject, {"sha256": sha256}))
        with self._lock:
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen[look] = now

    def verified(self, account: Account, sha256: str, found: dict[str, Any]) -> None:
        """A file was verified; subject: its hash."""
        told = {"changed": found["changed"], "c2pa": found["layers"]["c2pa"].get("state")}
        self._add(Act(account.id, "file.verify", sha256, told))

    def settings(self, told: dict[str, Any]) -> None:
        """At a start; an entry only where they are others than before. Of replicas that start at
        the same time one tells them.
        """
        new = digest_of(told)
        with self.database.write() as connection:
            take_lock(connection, AUDIT)
            query = select(facts.c.value).where(facts.c.name == SETTINGS)
            if connection.execute(query).scalar() == new:
                return
            connection.execute(delete(facts).where(facts.c.name == SETTINGS))
            connection.execute(insert(facts).values(name=SETTINGS, value=new))
            append(connection, [Act(SERVICE, "settings.change", SETTINGS, told)])

    def _add(self, act: Act) -> None:
        with self.database.write() as connection:
            append(connection, [act])
