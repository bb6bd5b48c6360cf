"""The worker's loop with the fake maker: outcomes, cancellation, lost leases, draining."""

import os
import threading
import time

import pytest

from src.artifacts.index import ArtifactIndex
from src.artifacts.memory import MemoryStore
from src.artifacts.registry import open_store
from src.core.addresses import CLIPS
from src.core.errors import BadInputError, CancelledError
from src.core.paths import examples
from src.core.progress import CancelToken
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker.leftovers import sort_out
from src.worker.loop import Worker
from src.worker.make_runner import make_runner
from src.worker.names import artifact_name, attempts_among
from src.worker.runners import FakeRunner
from tests.waiting import wait_until


@pytest.fixture
def store(database):
    return JobStore(database)


def _worker(database, maker=None, lease_s=60.0, **values):
    values = {"once": True, "device": "host/fake"} | values
    return Worker(
        LeaseStore(database, lease_s=lease_s),
        maker or FakeRunner(),
        values.pop("files", None) or open_store(),
        **values,
    )


def _next(worker):
    return worker.claim() if worker.is_able() else None


def _submit(store, **request):
    return store.submit(NewJob("generate", "a", {"prompt": "Pan left!"} | request))[0]


def test_a_job_becomes_one_artifact_with_its_events(database, store):
    job = _submit(store)
    _worker(database).run()
    done = store.get(job.id)
    assert (done.state, done.attempts, done.worker) == (State.COMPLETED, 1, None)
    assert done.artifact == f"pan-left-{job.id}-1.mp4"
    assert (examples() / done.artifact).read_text("utf-8") == f"clip of {job.id}"
    kinds = [event.kind for event in store.events(job.id)]
    assert kinds[:2] == ["state", "state"]
    assert kinds[-1] == "state"
    assert "progress" in kinds


def test_a_store_that_is_no_folder_gets_the_clip_and_its_manifest(database, store):
    job, files = _submit(store), MemoryStore()
    _worker(database, files=files).run()
    clip = f"examples/{store.get(job.id).artifact}"
    assert set(files.list(CLIPS)) == {clip, clip.replace(".mp4", ".json")}
    assert files.open(clip).read() == f"clip of {job.id}".encode()
    row, owner = ArtifactIndex(database).find(clip)
    assert (row.job, row.kind, owner) == (job.id, "clip", "a")
    assert (row.bytes, row.sha256) == (files.look(clip).bytes, files.look(clip).sha256)


def test_a_clip_that_is_not_in_the_store_is_not_published(database, store):
    class Lazy(FakeRunner):
        def make(self, job, path, watch):
            return {}

    job = _submit(store)
    _worker(database, Lazy()).run()
    assert store.get(job.id).state is State.FAILED
    assert "is not in the store" in store.get(job.id).error["detail"]


def test_a_failed_job_says_why_and_leaves_nothing(database, store):
    job = _submit(store, fake_error="the photograph is a sandwich")
    _worker(database).run()
    assert store.get(job.id).error == {
        "type": "BadInputError",
        "detail": "the photograph is a sandwich",
        "status": 422,
    }
    assert not list(examples().glob("*")) if examples().exists() else True


def test_a_bug_is_reported_without_its_inside(database, store):
    class Broken(FakeRunner):
        def make(self, job, path, watch):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
            raise KeyError("secret")

    job = _submit(store)
    _worker(database, Broken()).run()
    error = store.get(job.id).error
    assert (error["type"], error["status"]) == ("KeyError", 500)
    assert "secret" not in str(error)
    assert list(examples().iterdir()) == []


def test_cancel_stops_within_a_step(database, store):
    job = _submit(store, fake_steps=200, fake_seconds=20)
    worker = _worker(database)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: store.get(job.id).state is State.PROCESSING)
    begin = time.monotonic()
    store.cancel(job.id)
    thread.join()
    assert time.monotonic() - begin < 20  # what the job would have taken
    assert store.get(job.id).state is State.CANCELLED


def test_what_an_upscaler_keeps_to_go_on_from_goes_with_its_attempt(database, store):
    class Upscaler(FakeRunner):
        def make(self, job, path, watch):
            self._segments(path)
            raise CancelledError("stopped; 60 frames are kept")

        @staticmethod
        def _segments(path):
            folder = path.with_name(f".{path.name}.0123456789abcdef.partial")
            folder.mkdir()
            (folder / "000000.mp4").write_text("segment")

    job = _submit(store)
    store.submit(NewJob("generate", "a", {"prompt": "next"}))
    worker = _worker(database, Upscaler())
    first = _next(worker)
    store.cancel(first.id)
    worker.work(first)
    assert store.get(job.id).state is State.CANCELLED
    assert list(examples().iterdir()) == []
    dead = _next(worker)
    Upscaler._segments(examples() / artifact_name(dead))
    worker.leases.worker_gone(worker.name)
    sort_out(open_store(), store.many([dead.id]), _attempts())
    assert list(examples().iterdir()) == []


def test_a_worker_whose_lease_is_gone_publishes_nothing(database, store):
    class Frozen(FakeRunner):
        def make(self, job, path, watch):
            other = LeaseStore(database)
            other.worker_gone(worker.name)  # what the others do about a worker that fell silent
            assert other.hold_device("host/other", "other", "p", {})
            assert other.claim("other", "host/other").id == job.id
            return super().make(
                job, path, type(watch)(lambda _: None, CancelToken(), watch.picture)
            )

    job = _submit(store)
    worker = _worker(database, Frozen())
    worker.run()
    assert store.get(job.id).state is State.PROCESSING
    assert list(examples().iterdir()) == []


def test_draining_lets_the_job_end_and_hurry_gives_it_back(database, store):
    for giving_back, state in ((False, State.COMPLETED), (True, State.PENDING)):
        job = _submit(store, fake_steps=40, fake_seconds=2)
        worker = _worker(database, once=False)
        thread = threading.Thread(target=worker.run)
        thread.start()
        wait_until(lambda job=job: store.get(job.id).state is State.PROCESSING)
        worker.stopping.set()
        if giving_back:
            worker.giving_back.set()
        thread.join(15)
        assert not thread.is_alive()
        assert store.get(job.id).state is state
    assert store.get(job.id).attempts == 0


def test_two_workers_never_hold_one_device(database, store):
    first, second = _worker(database), _worker(database, name="second")
    assert _next(first) is None
    _submit(store)
    assert _next(second) is None
    assert _next(first) is not None


def test_what_is_to_be_warm_is_loaded_before_the_first_job_while_the_device_is_kept(
    database, store
):
    class Slow(FakeRunner):
        def warm(self, what):
            loaded.append((what, store.get(job.id).state, dict(told()["info"])))
            time.sleep(0.5)
            assert not other.hold_device("host/fake", "other", "p", {})

    loaded, other = [], LeaseStore(database, lease_s=0.2)
    job = _submit(store)
    worker = _worker(database, Slow(), lease_s=0.2, preload="optimized")

    def told():
        return next(known for known in other.known_workers() if known["worker"] == worker.name)

    assert _next(worker).id == job.id
    own = {"preload": "optimized", "group": None, "gpus": 1, "kinds": ["generate", "upscale"]}
    assert loaded == [("optimized", State.PENDING, own)]
    assert told()["info"] == own | {"warm": "optimized"}
    assert _next(worker) is None
    assert len(loaded) == 1


def test_a_worker_that_is_stopped_while_it_loads_takes_no_job(database, store):
    class Stopped(FakeRunner):
        def warm(self, what):
            worker.stopping.set()

    job = _submit(store)
    worker = _worker(database, Stopped(), preload="baseline")
    worker.run()
    assert store.get(job.id).state is State.PENDING
    assert LeaseStore(database).known_workers() == []


def test_what_dead_attempts_left_goes_and_what_may_be_a_clip_is_set_aside(database, store, home):
    job = _submit(store)
    _worker(database).run()
    done = store.get(job.id)
    stale = [examples() / name for name in (
        f"pan-left-{job.id}-0.mp4", f".pan-left-{job.id}-3.99999.partial.mp4",
        f".pan-left-{job.id}-1.json.99999.partial",
        f".pan-left-{job.id}-3.mp4.99999.partial")]  # fmt: skip
    strange = [
        examples() / name for name in (f"pan-left-{job.id}-3.json", f"pan-left-{'f' * 21}-1.mp4")
    ]
    writing = examples() / f".pan-left-{'f' * 21}-1.99999.partial.mp4"
    for path in (*stale, *strange, writing, examples() / "made-by-hand-7.mp4"):
        path.write_text("x")
    found = _attempts()
    late = examples() / f"x-{'e' * 21}-1.mp4"
    late.write_text("written after the folder was listed")
    removed, aside = sort_out(open_store(), store.many({attempt.job for attempt in found}), found)
    assert set(removed) == {f"examples/{path.name}" for path in stale}
    assert set(aside) == {f"quarantine/{path.name}" for path in strange}
    assert all((home / key).read_text("utf-8") == "x" for key in aside)
    left = {path.name for path in examples().iterdir()}
    manifest = done.artifact.replace(".mp4", ".json")
    assert left == {done.artifact, manifest, "made-by-hand-7.mp4", late.name, writing.name}
    os.utime(writing, (1, 1))
    parts = [each for each in _attempts() if each.partial]
    assert sort_out(open_store(), {}, parts) == ([f"examples/{writing.name}"], [])


def _attempts():
    files = open_store()
    return [
        *attempts_among(files.list(CLIPS)),
        *attempts_among(files.unfinished(CLIPS), partial=True),
    ]


def test_what_runs_now_is_left_alone(database, store):
    job = _submit(store)
    leases = LeaseStore(database)
    assert leases.hold_device("d", "w", "p", {})
    token = leases.claim("w", "d").token
    examples().mkdir(parents=True)
    names = {f"x-{job.id}-{token}.mp4", f".x-{job.id}-{token}.mp4.77.partial"}
    for name in names:
        (examples() / name).write_text("x")
    assert sort_out(open_store(), store.many([job.id]), _attempts()) == ([], [])
    assert {path.name for path in examples().iterdir()} == names


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_wrong_duration_of_the_fake_is_said(monkeypatch, text):
    monkeypatch.setenv("NEWSREEL_FAKE_SECONDS", text)
    with pytest.raises(BadInputError, match="NEWSREEL_FAKE_SECONDS"):
        make_runner("fake", "auto", open_store())


def test_names_are_plain_whatever_the_prompt(store):
    job = _submit(store, prompt="../../etc/passwd \x1b[31m Ünï" + "x" * 300)
    assert artifact_name(job).startswith("etc-passwd-31m-n-xxxx")
    assert len(artifact_name(job)) < 90
