"""News of jobs: a database that is away for a moment, and a long time without listeners."""

import asyncio
import time

from sqlalchemy.exc import OperationalError

from src.api import broadcaster as module
from src.api.broadcaster import EventBroadcaster
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore


async def _heard(hub, database, job):
    """Seconds from a job's progress until its listener hears of it; somebody else listens all the
    time.
    """

    async def listen():
        while True:
            await hub.wait("another", 10)

    other = asyncio.create_task(listen())
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(hub.wait(job.id, 10))
    begin = time.monotonic()
    await asyncio.to_thread(LeaseStore(database).progress, job, "denoise", 1, 4)
    await waiting
    other.cancel()
    return time.monotonic() - begin


def _running(database):
    store, leases = JobStore(database), LeaseStore(database)
    store.submit(NewJob("generate", "a", {"prompt": "p"}))
    leases.hold_device("d", "w", "p", {})
    return store, leases.claim("w", "d")


def test_a_database_that_was_away_is_read_again(database, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.05)
    store, job = _running(database)
    hub, events, failures = EventBroadcaster(store), store.events, []

    def away(*arguments):
        if len(failures) < 3:
            failures.append(1)
            raise OperationalError("SELECT", {}, Exception("away"))
        return events(*arguments)

    monkeypatch.setattr(store, "events", away)

    async def run():
        await hub.start()
        seconds = await _heard(hub, database, job)
        await hub.stop()
        return seconds

    assert asyncio.run(run()) < 10  # what it waits in vain
    assert len(failures) == 3


def test_who_comes_after_a_long_silence_waits_for_no_old_news(database, monkeypatch):
    store, job = _running(database)
    hub, asked = EventBroadcaster(store), []
    monkeypatch.setattr(
        store,
        "events",
        lambda job_id, after: asked.append(after) or JobStore.events(store, job_id, after),
    )

    async def run():
        await hub.start()
        for done in range(30):
            await asyncio.to_thread(LeaseStore(database).progress, job, "denoise", done, 30)
        await _heard(hub, database, job)
        await hub.stop()

    asyncio.run(run())
    assert min(asked) >= 30


def test_who_follows_a_job_that_is_deleted_comes_to_an_end(database):
    store, job = _running(database)
    LeaseStore(database).fail(job, {"type": "x", "detail": "x", "status": 500})

    async def follow():
        kinds = []
        async for event in EventBroadcaster(store).follow(job.id, 0):
            kinds.append(event.kind)
            if len(kinds) == 3:
                store.delete(job.id)
        return kinds

    assert asyncio.run(follow()) == ["state"] * 3
