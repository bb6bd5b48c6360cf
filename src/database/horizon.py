"""Up to which event a reader may go on and miss none.

On PostgreSQL ids are given before commits: one with a lower id may be committed after one with a
higher id was read. Every id up to N is settled once all transactions have ended that had begun to
write when N was the last id given. SQLite writes one transaction after the other.
"""

import threading
import time

from sqlalchemy import func, select

from src.database.database import Database
from src.database.tables import events

NUMBERS = 1 << 32  # transactions are counted in 32 bits, round and round
LAST = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq"
OLDEST = """SELECT age(pg_snapshot_xmin(pg_current_snapshot())::xid), age('3'::xid)"""
"""How many transactions ago the oldest one that still writes began, and a count of them all. A
transaction's age is counted from the next one's number.
"""
PATIENCE_S = 0.05
AGAIN_S = 0.005


class Horizon:
    """One of a process. A long transaction of anybody on the same server holds it up, and no event
    is lost.
    """

    def __init__(self, database: Database) -> None:
        self.database, self._lock = database, threading.Lock()
        self._settled = 0
        self._waiting: tuple[int, int] | None = None  # the last id given, and the count then

    def upto(self) -> int:
        """The number of the last event that is settled; 0 where there is none."""
        if self.database.is_sqlite:
            return self._newest()
        deadline = time.monotonic() + PATIENCE_S
        with self._lock:
            wanted = self._look()
            while self._settled < wanted and time.monotonic() < deadline:
                time.sleep(AGAIN_S)
                self._look()
            return self._settled

    def _newest(self) -> int:
        with self.database.read() as connection:
            return connection.execute(select(func.max(events.c.id))).scalar() or 0

    def _look(self) -> int:
        """Returns the last id given. Whoever was given one by then has begun to write, so that the
        question after it sees him.
        """
        with self.database.read() as connection:
            last = connection.exec_driver_sql(LAST).scalar_one()
            oldest, count = connection.exec_driver_sql(OLDEST).one()
        if oldest == 0:  # nobody writes
            self._settled, self._waiting = max(self._settled, last), None
        elif self._waiting is None:
            self._waiting = (last, count)
        elif oldest <= (count - self._waiting[1]) % NUMBERS:
            self._settled, self._waiting = max(self._settled, self._waiting[0]), (last, count)
        return last
