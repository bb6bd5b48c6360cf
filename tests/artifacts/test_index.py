"""The rows of artifacts, on both databases: what jobs write, what is found by them, and what the
store and they make of each other.
"""

import io
import json
import os
import time

import pytest
from sqlalchemy import update

from src.artifacts.index import ArtifactIndex
from src.artifacts.memory import MemoryStore
from src.artifacts.registry import open_store
from src.core.addresses import KEPT, QUARANTINE, StoredFile, artifact_address, stored_address
from src.core.paths import home
from src.database import artifact_rows
from src.database.tables import artifacts
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.worker.inventory import Inventory
from src.worker.leftovers import STRANGE_S

PHOTOGRAPH = f"{'0f' * 32}.png"
KEY = f"photographs/{PHOTOGRAPH}"


@pytest.fixture
def database(any_database):
    return any_database


@pytest.fixture
def store(database):
    return JobStore(database)


@pytest.fixture
def index(database):
    return ArtifactIndex(database)


@pytest.fixture(params=["folder", "memory"])
def files(request):
    return open_store() if request.param == "folder" else MemoryStore()


def _submit(store, name=PHOTOGRAPH, **values):
    return store.submit(
        NewJob("generate", "a", {"prompt": "p", "input_image": stored_address(name)}, **values)
    )[0]


def _finish(store, name=None, **sizes):
    """The next job, with a clip called `name`; sizes: bytes of clip and manifest."""
    leases = LeaseStore(store.database)
    assert leases.hold_device("d", "w", "p", {})
    job = leases.claim("w", "d")
    name = name or f"p-{job.id}-{job.token}.mp4"
    files = [StoredFile(f"examples/{name}", sizes.get("clip", 10), sha256="c" * 64),
             StoredFile(f"examples/{name}".replace(".mp4", ".json"),
                        sizes.get("manifest", 2))]  # fmt: skip
    leases.complete(job, name, {}, files)
    return f"examples/{name}"


def _put(files, key, data=b"data"):
    files.put(key, io.BytesIO(data))


def _row(index, key):
    found = index.find(key)
    return found[0] if found else None


def test_a_submission_and_a_publication_write_their_rows(store, index):
    job = _submit(store, input_bytes=5)
    again = _submit(store, input_bytes=7)  # the same photograph: one row, as it was
    photograph, owner = index.find(KEY)
    assert (photograph.kind, photograph.bytes, photograph.sha256, owner) == (
        "photograph",
        5,
        "0f" * 32,
        None,
    )
    store.pin(job.id, True)
    clip = _finish(store)
    row, owner = index.find(clip)
    assert (row.job, row.parent, row.kind, row.bytes, row.sha256, owner) == (
        job.id,
        KEY,
        "clip",
        10,
        "c" * 64,
        "a",
    )
    assert (row.pinned, row.release) == (True, None)
    assert _row(index, clip.replace(".mp4", ".json")).kind == "manifest"
    store.pin(job.id, False)
    assert not _row(index, clip).pinned
    assert index.total() == 17
    assert index.bytes_of_jobs([job.id, again.id]) == {job.id: 12}
    assert index.bytes_of([KEY, "photographs/none.png"]) == {KEY: 5}
    store.delete(job.id)
    assert set(index.known()) == {KEY}


def test_what_was_enlarged_from_what_is_found_by_an_index(store, index, database):
    _submit(store)
    clip = _finish(store, "small.mp4")
    for scale in (2, 4):
        store.submit(
            NewJob("upscale", "a", {"input": artifact_address("small.mp4"), "scale": scale})
        )
        _finish(store, f"large-{scale}.mp4")
    made = [row.key for row in index.made_of(clip) if row.kind == "clip"]
    assert made == ["examples/large-2.mp4", "examples/large-4.mp4"]
    assert clip in {row.key for row in index.made_of(KEY)}
    with database.write() as connection:
        if database.is_sqlite:
            plan = "EXPLAIN QUERY PLAN SELECT * FROM artifacts WHERE parent = 'x'"
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = "EXPLAIN SELECT * FROM artifacts WHERE parent = 'x'"
        assert "artifacts_by_parent" in str(connection.exec_driver_sql(plan).all())


def test_a_released_clip_is_spared_by_retention(store, index, database):
    jobs = [_submit(store) for _ in range(2)]
    clips = [_finish(store) for _ in jobs]
    assert {job.id for job in store.finished_before(time.time() + 60)} == {job.id for job in jobs}
    with database.write() as connection:
        out = update(artifacts).where(artifacts.c.key == clips[0])
        connection.execute(out.values(release=artifact_rows.RELEASED))
    released = _row(index, clips[0]).job
    assert released not in {job.id for job in store.finished_before(time.time() + 60)}
    assert index.released([job.id for job in jobs]) == {released}


def test_a_worker_that_died_between_file_and_row_is_settled(store, index, files):
    """The file is there, the commit is not: the job runs again, and its new attempt is the clip."""
    job, leases = _submit(store), LeaseStore(store.database)
    assert leases.hold_device("d", "w", "p", {})
    dead = leases.claim("w", "d")
    for name in (f"p-{job.id}-1.mp4", f"p-{job.id}-1.json"):
        _put(files, f"examples/{name}")
    inventory = Inventory(files, index, store)
    assert inventory.settle() == []  # it may be about to commit
    assert index.find(f"examples/p-{job.id}-1.mp4") is None
    leases.worker_gone("w")
    # nobody took it again yet: it may be a clip of a later database
    assert inventory.settle() == []
    assert {key.partition("/")[0] for key in _everything(files)} == {"quarantine"}
    assert leases.hold_device("d", "w", "p", {})
    clip = _finish(store)
    assert clip == f"examples/p-{job.id}-{dead.token + 1}.mp4"


def test_rubbish_goes_and_strangers_clips_are_set_aside(store, index, files):
    _submit(store)
    clip = _finish(store)
    job = _row(index, clip).job
    _put(files, clip)
    _put(files, f"examples/p-{job}-0.mp4")  # of an attempt before
    _put(files, f"examples/p-{'f' * 21}-1.mp4")  # of a database that was set back
    inventory = Inventory(files, index, store)
    assert inventory.settle() == [f"examples/p-{job}-0.mp4"]
    assert _everything(files) == {clip, f"quarantine/p-{'f' * 21}-1.mp4"}
    assert inventory.settle() == []


def test_what_commands_made_gets_rows_which_follow_the_files(store, index, files):
    _put(files, KEY, b"photo")
    _put(files, "examples/by-hand-7.mp4", b"clip")
    _put(
        files,
        "examples/by-hand-7.json",
        json.dumps({"photograph": PHOTOGRAPH, "plan": {}}).encode(),
    )
    _put(files, "examples/odd.json", f"not JSON, but it names {'0f' * 32}".encode())
    inventory = Inventory(files, index, store)
    inventory.settle()
    names = {"examples/by-hand-7.mp4", "examples/by-hand-7.json", "examples/odd.json"}
    assert {row.key for row in index.made_of(KEY)} == names
    assert _row(index, KEY).bytes == 5
    assert index.total() == sum(files.look(key).bytes for key in _everything(files))
    before = index.known()
    inventory.settle()
    assert index.known() == before
    time.sleep(0.01)  # a file system's clock may tick in steps of 4 ms
    _put(files, "examples/by-hand-7.mp4", b"another clip")
    _put(files, "examples/by-hand-7.json", b"{}")
    files.delete("examples/odd.json")
    inventory.settle()
    assert index.made_of(KEY) == []
    assert _row(index, "examples/by-hand-7.mp4").bytes == 12
    assert _row(index, "examples/odd.json") is None


def test_names_that_are_no_text_keep_their_photographs_too(store, index, home):
    files = open_store()
    _put(files, KEY)
    (home / "examples").mkdir()
    names = [b"odd-\xff.json", b"back\\slash.json", b"\xe4" * 250 + b".json"]
    for name in names:
        (home / "examples" / os.fsdecode(name)).write_text(json.dumps({"photograph": PHOTOGRAPH}))
    inventory = Inventory(files, index, store)
    for _ in range(2):
        inventory.settle()
        assert len(index.made_of(KEY)) == len(names)
    assert {os.fsencode(path.name) for path in (home / "examples").iterdir()} == set(names)


def test_a_file_that_is_missed_takes_no_room_until_it_is_back(store, index, files):
    _submit(store, input_bytes=5)
    clip = _finish(store)
    inventory = Inventory(files, index, store)
    inventory.settle()
    assert index.total() == 0
    assert set(index.known()) == {KEY, clip, clip.replace(".mp4", ".json")}  # a job names each
    _put(files, clip, b"back again")
    inventory.settle()
    assert index.total() == 10


def test_what_was_made_for_a_release_that_did_not_come_is_set_aside(
    store, index, files, monkeypatch
):
    served, orphan, young = (f"releases/{name}.00.mp4" for name in ("served", "orphan", "young"))
    job = _submit(store)
    _put(files, served)
    _put(files, orphan)
    index.add([artifact_rows.row(files.look(served), time.time(), job=job.id)])
    inventory, now = Inventory(files, index, store), time.time()
    monkeypatch.setattr(time, "time", lambda: now + STRANGE_S - 60)
    inventory.settle()
    assert _everything(files) == {served, orphan}  # its row may be on its way
    monkeypatch.setattr(time, "time", lambda: now + STRANGE_S + 60)
    _put(files, young)
    if not isinstance(files, MemoryStore):  # which goes by the clock above
        os.utime(home() / young, (now + STRANGE_S, now + STRANGE_S))
    inventory.settle()
    assert _everything(files) == {served, young, "quarantine/orphan.00.mp4"}
    assert _row(index, served).job == job.id and _row(index, young) is None


def test_settling_looks_at_no_file_whose_row_is_right(store, index, files, monkeypatch):
    _submit(store, input_bytes=4)
    _put(files, KEY)
    _put(files, "releases/served.00.mp4")
    index.add([artifact_rows.row(files.look("releases/served.00.mp4"), time.time())])
    looked, look = [], files.look
    monkeypatch.setattr(files, "look", lambda *told: looked.append(told[0]) or look(*told))
    Inventory(files, index, store).settle()
    assert looked == []
    files.delete("releases/served.00.mp4")
    Inventory(files, index, store).settle()
    assert looked == ["releases/served.00.mp4"]


def _everything(files):
    folders = (*KEPT, QUARANTINE)
    return {key for folder in folders for key in files.list(folder)}
