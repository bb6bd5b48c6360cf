"""When a waiting job's turn comes, and when it is done: the turns of src/jobs/turns.py, played
forward with how long jobs took lately.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from src.database.tables import jobs, turns
from src.jobs.model import State
from src.jobs.turns import AGEING_S, WAITING

LATELY = 40  # finished jobs whose times are looked at
MOST = 5000  # waiting jobs that are looked at


@dataclass(frozen=True)
class Forecast:
    """place: 1 for the job that is next; 0 for one that runs. seconds: until it is done, as
    expected; None where no job of its kind has finished yet.
    """

    place: int
    seconds: float | None


def forecasts(connection: Connection, now: float, workers: int) -> dict[str, Forecast]:
    """For each job that waits or runs, by id. workers: how many take jobs; 0 knows no times."""
    usual = Usual(connection.execute(_finished()).all())
    running = connection.execute(select(jobs).where(jobs.c.state == State.PROCESSING)).all()
    left = {row.id: _left(row, usual, now) for row in running}
    found = {name: Forecast(0, seconds if workers else None) for name, seconds in left.items()}
    free = _free([seconds or 0.0 for seconds in left.values()], workers)
    for place, row in enumerate(_in_turn(connection, now, workers, usual), 1):
        found[row.id] = Forecast(place, _place(free, usual.seconds(row)))
    return found


def _finished() -> Any:
    query = select(jobs.c.kind, jobs.c.cost, jobs.c.started_at, jobs.c.finished_at)
    done = (jobs.c.state == State.COMPLETED) & jobs.c.started_at.is_not(None)
    return query.where(done).order_by(jobs.c.id.desc()).limit(LATELY)


class Usual:
    """How long jobs of a kind take: the median of the last ones, scaled by their cost where that
    is known.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        self._times, self._rates = defaultdict(list), defaultdict(list)
        for row in rows:
            seconds = row.finished_at - row.started_at
            self._times[row.kind].append(seconds)
            if row.cost:
                self._rates[row.kind].append(seconds / row.cost)

    def seconds(self, row: Any) -> float | None:
        """Of the job in this row, from its start to its end."""
        if row.cost and self._rates[row.kind]:
            return row.cost * median(self._rates[row.kind])
        return median(self._times[row.kind]) if self._times[row.kind] else None


def _free(left: list[float], workers: int) -> list[float]:
    """In how many seconds each worker is free, the first one first; [] without workers."""
    return sorted(left + [0.0] * (workers - len(left))) if workers else []


def _left(row: Any, usual: Usual, now: float) -> float | None:
    seconds = usual.seconds(row)
    return None if seconds is None else max(0.0, seconds - (now - (row.started_at or now)))


def _place(free: list[float], seconds: float | None) -> float | None:
    """Give a job to the worker that is free first; returns when it is done then."""
    if not free or seconds is None:
        return None
    ends = free[0] + seconds
    heapq.heapreplace(free, ends)
    return ends


def _in_turn(connection: Connection, now: float, workers: int, usual: Usual) -> Iterator[Any]:
    """Waiting jobs in the order in which they are taken."""
    columns = (jobs.c.id, jobs.c.owner, jobs.c.priority, jobs.c.rank, jobs.c.kind, jobs.c.cost)
    rows = connection.execute(select(*columns).where(WAITING).order_by(jobs.c.rank).limit(MOST))
    lines: dict[tuple[str, int], deque] = defaultdict(deque)
    for row in rows:
        lines[row.owner, row.priority].append(row)
    served = {(row.owner, row.priority): row.served_at for row in connection.execute(select(turns))}
    heap = [(_due(queue[0], served.get(line)), line) for line, queue in lines.items()]
    heapq.heapify(heap)
    while heap:
        _, line = heapq.heappop(heap)
        row = lines[line].popleft()
        yield row
        now += (usual.seconds(row) or 1.0) / max(1, workers)
        if lines[line]:
            heapq.heappush(heap, (_due(lines[line][0], now), line))


def _due(head: Any, served_at: float | None) -> float:
    """As `turns.lines` has it."""
    rank = head.rank
    return rank if served_at is None else max(rank, served_at - AGEING_S * head.priority)
