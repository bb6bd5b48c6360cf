"""One stream of all that a key may see."""

import asyncio
import json

import pytest

from src.api.broadcaster import EventBroadcaster
from src.api.stream import _of_all
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore


async def _heard(broadcaster, owner, act, count, allowed=lambda: True):
    """The first `count` pieces of a stream, while `act` happens."""
    await broadcaster.start()
    stream = _of_all(
        broadcaster, owner, await asyncio.to_thread(broadcaster.store.last_event), 60, allowed
    )
    pieces = [await anext(stream)]
    acting = asyncio.create_task(asyncio.to_thread(act))
    try:
        while len(pieces) < count:
            pieces.append(await asyncio.wait_for(anext(stream), 30))
    except StopAsyncIteration:
        pass
    finally:
        await acting
        await broadcaster.stop()
    return pieces


def _events(pieces):
    lines = [
        line.removeprefix("data: ")
        for line in "".join(pieces).splitlines()
        if line.startswith("data: {")
    ]
    return [json.loads(line) for line in lines if line != "{}"]


@pytest.mark.parametrize(
    ("owner", "told"), [(frozenset({"a", "b"}), {"a", "b"}), (frozenset({"a"}), {"a"})]
)
def test_it_tells_of_what_may_be_seen_and_of_nothing_else(database, owner, told):
    store, names = JobStore(database), {}

    def act():
        for each in ("c", "b", "a"):
            names[store.submit(NewJob("generate", each, {"prompt": "p"}))[0].id] = each

    pieces = []

    async def listen():
        broadcaster = EventBroadcaster(store)
        await broadcaster.start()
        stream = _of_all(broadcaster, owner, 0, 60, lambda: True)
        pieces.append(await anext(stream))
        await asyncio.to_thread(act)
        while {names[event["job"]] for event in _events(pieces)} != told:
            pieces.append(await asyncio.wait_for(anext(stream), 30))
        await broadcaster.stop()

    asyncio.run(listen())
    assert pieces[0].startswith("id: 0\nevent: hello")
    assert all(event["state"] == "PENDING" for event in _events(pieces))


def test_progress_is_told_as_it_comes(database):
    store, leases = JobStore(database), LeaseStore(database)
    store.submit(NewJob("generate", "a", {"prompt": "p"}))
    leases.hold_device("d", "w", "p", {})
    job = leases.claim("w", "d")
    pieces = asyncio.run(
        _heard(EventBroadcaster(store), None, lambda: leases.progress(job, "denoise", 3, 4), 2)
    )
    event = _events(pieces)[-1]
    assert (event["job"], event["stage"], event["done"], event["total"]) == (
        job.id,
        "denoise",
        3,
        4,
    )


def test_it_ends_when_its_key_is_revoked(database):
    store = JobStore(database)
    act = lambda: store.submit(NewJob("generate", "a", {"prompt": "p"}))  # noqa: E731
    pieces = asyncio.run(_heard(EventBroadcaster(store), None, act, 2, allowed=lambda: False))
    assert len(pieces) == 1


def test_it_lasts_as_long_as_it_is_asked_to(client):
    answer = client.get("/jobs/events", params={"seconds": 0})
    assert answer.text == "id: 0\nevent: hello\ndata: {}\n\n"


def test_who_has_no_key_hears_nothing(keys):
    client, _ = keys
    assert client.get("/jobs/events").status_code == 401
