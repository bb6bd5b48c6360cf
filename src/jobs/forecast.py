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
    for place, (job, seconds) in enumerate(_in_turn(connection, now, workers, usual), 1):
        found[job] = Forecast(place, _place(free, seconds))
    return found


def _finished() -> Any:
    query = select(jobs.c.kind, jobs.c.group, jobs.c.cost, jobs.c.started_at, jobs.c.finished_at)
    done = jobs.c.state == State.COMPLETED
    return query.where(done).order_by(jobs.c.id.desc()).limit(LATELY)


class Usual:
    """How long jobs take: the median of the last ones of their group (the same model, the same
    upscaler), else of their kind, scaled by their cost where that is known.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        times, rates = defaultdict(list), defaultdict(list)
        for row in rows:
            for name in _names(row) if row.started_at is not None else ():
                times[name].append(row.finished_at - row.started_at)
                if row.cost:
                    rates[name].append(times[name][-1] / row.cost)
        self._times = {name: median(seconds) for name, seconds in times.items()}
        self._rates = {name: median(seconds) for name, seconds in rates.items()}

    def seconds(self, row: Any) -> float | None:
        """Of the job in this row, from its start to its end."""
        for name in _names(row):
            if row.cost and name in self._rates:
                return row.cost * self._rates[name]
            if name in self._times:
                return self._times[name]
        return None


def _names(row: Any) -> tuple[tuple[str, ...], ...]:
    """What a job's times are kept by, the narrowest first."""
    return (row.kind, row.group), (row.kind,)


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


def _in_turn(
    connection: Connection, now: float, workers: int, usual: Usual
) -> Iterator[tuple[str, float | None]]:
    """Ids of waiting jobs in the order in which they are taken, and how long each takes."""
    columns = (
        jobs.c.id, jobs.c.owner, jobs.c.priority, jobs.c.rank, jobs.c.kind, jobs.c.group,
        jobs.c.cost,
    )  # fmt: skip
    query = select(*columns).where(WAITING).order_by(jobs.c.rank).limit(MOST)
    lines: dict[tuple[str, int], deque] = defaultdict(deque)
    for row in connection.execute(query).all():
        lines[row.owner, row.priority].append(row)
    served = {(row.owner, row.priority): row.served_at for row in connection.execute(select(turns))}
    heap = [(_due(queue[0], served.get(line)), line) for line, queue in lines.items()]
    heapq.heapify(heap)
    while heap:
        line = heap[0][1]
        row = lines[line].popleft()
        seconds = usual.seconds(row)
        yield row.id, seconds
        now += (seconds or 1.0) / max(1, workers)
        if lines[line]:
            heapq.heapreplace(heap, (_due(lines[line][0], now), line))
        else:
            heapq.heappop(heap)


def _due(head: Any, served_at: float | None) -> float:
    """As `turns.lines` has it."""
    rank = head.rank
    return rank if served_at is None else max(rank, served_at - AGEING_S * head.priority)
