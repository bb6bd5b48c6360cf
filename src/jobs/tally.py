"""What has happened to jobs, counted once for all replicas of the service: totals in the database,
moved on from event to event in one transaction.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from src.database.tables import events, facts, jobs, totals
from src.jobs.model import State
from src.jobs.store import JobStore

FACT = "counted"  # the last event that is in the totals
AT_ONCE = 2000
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)
"""Upper bounds of the histograms, in seconds."""
Labels = tuple[tuple[str, str], ...]


@dataclass
class Sums:
    """What some events add, and what they set, by metric and labels."""

    added: dict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))
    latest: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def add(self, name: str, **labels: str) -> None:
        self.added[name, tuple(labels.items())] += 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """In a histogram: buckets count what is at most their bound."""
        for bound in (*BUCKETS, float("inf")):
            if seconds <= bound:
                le = "+Inf" if bound == float("inf") else str(float(bound))
                self.add(f"{name}_bucket", **labels, le=le)
        self.added[f"{name}_sum", tuple(labels.items())] += seconds

    def set(self, name: str, value: float, **labels: str) -> None:
        self.latest[name, tuple(labels.items())] = value


class Tally:
    """Counts what nobody has counted yet. Whoever asks counts; the others wait for his commit."""

    def __init__(self, store: JobStore) -> None:
        self.store, self.database = store, store.database

    def begin(self) -> None:
        """Count from now on, where nobody has counted on this database before."""
        try:
            with self.database.write() as connection:
                if _seen(connection) is None:
                    last = {"name": FACT, "value": str(self.store.last_event())}
                    connection.execute(insert(facts).values(last))
        except IntegrityError:
            return  # another replica was first

    def count(self) -> None:
        """Move the totals on to the newest event."""
        upto = self.store.last_event()
        with self.database.read() as connection:
            seen = _seen(connection)
        while seen is not None and seen < upto:
            seen = self._count_some(upto)

    def _count_some(self, upto: int) -> int:
        with self.database.write() as connection:
            seen = _seen(connection, lock=True) or 0
            rows = connection.execute(_news(seen, upto)).all()
            _write(connection, sums_of(rows))
            seen = rows[-1].id if len(rows) == AT_ONCE else max(seen, upto)
            connection.execute(update(facts).where(facts.c.name == FACT).values(value=str(seen)))
        return seen

    def totals(self) -> dict[tuple[str, Labels], float]:
        """All of them, by metric and labels."""
        with self.database.read() as connection:
            rows = connection.execute(select(totals)).all()
        return {(row.name, tuple(json.loads(row.labels).items())): row.value for row in rows}


def _seen(connection: Connection, lock: bool = False) -> int | None:
    """The last event that is counted. lock: nobody else counts until we commit; SQLite's writers
    are alone anyway.
    """
    query = select(facts.c.value).where(facts.c.name == FACT)
    value = connection.execute(query.with_for_update() if lock else query).scalar()
    return None if value is None else int(value)


def _news(seen: int, upto: int) -> Any:
    """Changes of state, with their jobs; first: whether the event is its job's first one."""
    before = events.alias()
    first = ~exists().where(before.c.job_id == events.c.job_id, before.c.id < events.c.id)
    query = select(events, jobs.c.kind.label("job_kind"), jobs.c.result, jobs.c.created_at,
                   first.label("first"))  # fmt: skip
    new = (events.c.id > seen) & (events.c.id <= upto) & (events.c.kind == "state")
    query = query.join(jobs, jobs.c.id == events.c.job_id).where(new)
    return query.order_by(events.c.id).limit(AT_ONCE)


def sums_of(rows: Iterable[Any]) -> Sums:
    """What these events add to the totals."""
    sums = Sums()
    for row in rows:
        state = State(row.data["state"])
        if row.first:
            sums.add("newsreel_jobs_submitted", kind=row.job_kind)
        if state.final:
            sums.add("newsreel_jobs_finished", kind=row.job_kind, state=state)
        if state is State.FAILED:
            kind = (row.data.get("error") or {}).get("type", "WorkerDied")
            sums.add("newsreel_job_failures", error=kind)
        if state is State.COMPLETED:
            sums.observe("newsreel_job_seconds", row.at - row.created_at, kind=row.job_kind)
            _costs(sums, row.job_kind, row.result or {})
    return sums


def _costs(sums: Sums, kind: str, result: dict[str, Any]) -> None:
    seconds = result.get("seconds") or {}
    for stage, value in seconds.items():
        sums.observe("newsreel_stage_seconds", value, stage=stage)
    if result.get("frames") and sum(seconds.values()):
        rate = result["frames"] / sum(seconds.values())
        sums.set("newsreel_frames_per_second", rate, kind=kind)
    for name in ("peak_rss", "peak_vram"):
        if result.get(name):
            sums.set("newsreel_memory_bytes", result[name], of=name)


def _write(connection: Connection, sums: Sums) -> None:
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    new = make(totals)
    keys = ["name", "labels"]
    added = new.on_conflict_do_update(
        index_elements=keys, set_={"value": totals.c.value + new.excluded.value}
    )
    latest = new.on_conflict_do_update(index_elements=keys, set_={"value": new.excluded.value})
    for statement, values in ((added, sums.added), (latest, sums.latest)):
        if values:
            connection.execute(statement, [_row(*key, value) for key, value in values.items()])


def _row(name: str, labels: Labels, value: float) -> dict[str, Any]:
    return {"name": name, "labels": json.dumps(dict(labels)), "value": value}
