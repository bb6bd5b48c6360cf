import os
import time

import pytest

from src.api.housekeeper import Housekeeper
from src.api.settings import ServiceSettings
from src.core.addresses import artifact_address, stored_address
from src.core.paths import examples, home
from src.database.database import Database
from src.database.tables import artifacts, jobs
from src.jobs.errors import UnknownJobError
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore

DAY = 86400.0


def _finished(database, days_ago, size=100, pinned=False, **request):
    """A job that ended so long ago, with a clip of `size` bytes and its manifest."""
    then = time.time() - days_ago * DAY
    store, leases = JobStore(database, lambda: then), LeaseStore(database, lambda: then)
    leases.hold_device("d", "w", "p", {})
    job, _ = store.submit(NewJob("generate", "a", request))
    claimed = leases.claim("w", "d")
    name = f"x-{job.id}-1.mp4"
    examples().mkdir(parents=True, exist_ok=True)
    (examples() / name).write_bytes(b"x" * size)
    (examples() / name).with_suffix(".json").write_text("{}")
    leases.complete(claimed, name, {})
    store.pin(job.id, pinned)
    return job.id


def _keeper(database, **settings):
    return Housekeeper(
        ServiceSettings(database=database.url, **settings), JobStore(database), LeaseStore(database)
    )


def _left(database):
    jobs = JobStore(database).page(limit=200)
    files = {path.name for path in examples().iterdir()}
    assert files == {
        name for job in jobs for name in (job.artifact, job.artifact.replace(".mp4", ".json"))
    }
    return {job.id for job in jobs}


def test_old_jobs_go_with_their_files_and_pinned_ones_stay(database):
    old, pinned, new = (
        _finished(database, 31),
        _finished(database, 40, pinned=True),
        _finished(database, 29),
    )
    _keeper(database, keep_days=30).tidy()
    assert _left(database) == {pinned, new}
    assert JobStore(database).events(old) == []
    _keeper(database, keep_days=0).tidy()
    assert _left(database) == {pinned, new}


def test_beyond_the_bytes_the_oldest_go(database):
    ids = [_finished(database, days, size=1000) for days in (5, 4, 3, 2, 1)]
    _keeper(database, keep_bytes=10_000).tidy()
    assert _left(database) == set(ids)
    JobStore(database).pin(ids[0], True)
    _keeper(database, keep_bytes=3100).tidy()
    assert _left(database) == {ids[0], *ids[2:]}


def test_uploads_live_as_long_as_their_jobs(database):
    folder = home() / "uploads"
    folder.mkdir(parents=True)
    kept, orphan, fresh = (folder / f"{letter * 64}.video" for letter in "abc")
    for path in (kept, orphan, fresh):
        path.write_text("v")
    for path in (kept, orphan):
        os.utime(path, (time.time() - DAY,) * 2)
    JobStore(database).submit(NewJob("upscale", "a", {"input": stored_address(kept.name)}))
    _keeper(database).tidy()
    assert set(folder.iterdir()) == {kept, fresh}


def test_a_clip_that_is_to_be_enlarged_stays_until_it_is(database):
    old = _finished(database, 40)
    store = JobStore(database)
    source = artifact_address(str(store.get(old).artifact))
    larger, _ = store.submit(NewJob("upscale", "a", {"input": source, "of": old}))
    _keeper(database, keep_days=30, keep_bytes=1).tidy()
    assert store.get(old).artifact
    store.cancel(larger.id)
    _keeper(database, keep_days=30).tidy()
    with pytest.raises(UnknownJobError):
        store.get(old)


def _let_out(database, job_id):
    """Its clip was out, and is not any more."""
    with database.write() as connection:
        change = artifacts.update().where(artifacts.c.job == job_id)
        connection.execute(change.values(release="withdrawn"))


def _run_again(database, job_id):
    store, leases = JobStore(database), LeaseStore(database)
    with database.write() as connection:
        change = jobs.update().where(jobs.c.id == job_id)
        connection.execute(change.values(state="FAILED"))
    store.retry(job_id)
    leases.hold_device("d", "w", "p", {})
    leases.complete(leases.claim("w", "d"), store.get(job_id).artifact, {})


@pytest.mark.parametrize("change", [
    lambda database, job_id: JobStore(database).pin(job_id, True), _let_out, _run_again,
])  # fmt: skip
def test_what_is_changed_while_housekeeping_runs_stays(database, monkeypatch, change):
    old, keeper = _finished(database, 40), _keeper(database, keep_days=30)
    listed = keeper.store.finished_before

    def changed_meanwhile(*arguments):
        jobs = listed(*arguments)
        change(database, old)
        return jobs

    monkeypatch.setattr(keeper.store, "finished_before", changed_meanwhile)
    keeper.tidy()
    assert _left(database) == {old}


def test_what_a_killed_process_was_writing_goes(database):
    for name in (
        "previews/.j.jpg.123.partial",
        "photographs/.p.jpg.123.partial",
        "releases/.r.mp4.123.partial",
    ):
        path = home() / name
        path.parent.mkdir(parents=True)
        path.write_text("half")
        (path.parent / "whole.jpg").write_text("whole")
        os.utime(path, (time.time() - DAY,) * 2)
        os.utime(path.parent / "whole.jpg", (time.time() - DAY,) * 2)
    fresh = home() / "previews" / ".k.jpg.124.partial"
    fresh.write_text("half")
    _keeper(database).tidy()
    assert {path.name for path in home().glob("[pr]*/*")} == {"whole.jpg", fresh.name}


def test_tidying_asks_the_database_a_few_times_however_many_clips_there_are(database, monkeypatch):
    for _ in range(30):
        _finished(database, 1)
    keeper, reads, read = _keeper(database, keep_days=30, keep_bytes=10**9), [], Database.read
    monkeypatch.setattr(Database, "read", lambda self: reads.append(1) or read(self))
    keeper.tidy()
    assert len(reads) < 5
