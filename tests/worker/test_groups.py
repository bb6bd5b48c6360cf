"""Workers that hold several devices: leases on all, jobs for as many, cards of their own."""

import os
import socket
import threading

import pytest
import torch

from src.api.app import make_service
from src.api.settings import ServiceSettings
from src.artifacts.registry import open_store
from src.artifacts.store import keep
from src.core.addresses import stored_address, stored_key
from src.core.errors import BadInputError
from src.core.files import sha256_of
from src.core.hardware import Hardware
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from src.worker import supervise
from src.worker.cards import VISIBLE, cards_shown, gpus_per_worker, groups, holding
from src.worker.engine_runner import EngineRunner
from src.worker.loop import Worker
from src.worker.make_runner import make_runner
from src.worker.process import device_names
from src.worker.runners import FakeRunner
from src.worker.supervise import Supervisor
from tests.waiting import wait_until


def _submit(database, gpus=None, **values):
    asked = {"prompt": "p"} | ({} if gpus is None else {"gpus": gpus})
    return JobStore(database).submit(NewJob("generate", "a", asked, **values))[0]


def _worker(database, names, gpus=2, **values):
    first, *beside = names
    return Worker(
        LeaseStore(database), FakeRunner(), open_store(), first, beside=beside, gpus=gpus,
        once=True, **values,
    )  # fmt: skip


def test_all_devices_of_a_group_are_held_or_none(any_database):
    leases = LeaseStore(any_database)
    assert leases.hold_device("a", "one", "p", {}, ("b",))
    assert leases.hold_device("a", "one", "p", {}, ("b",))
    assert not leases.hold_device("c", "two", "p", {}, ("b",))
    assert not leases.hold_device("b", "two", "p", {})
    assert [each["worker"] for each in leases.known_workers()] == ["one"]
    assert leases.hold_device("c", "three", "p", {}), "what was refused holds nothing"
    leases.worker_gone("one")
    assert leases.hold_device("b", "two", "p", {}, ("a",))


def test_two_workers_do_not_wait_in_a_ring_for_each_others_devices(any_database):
    leases, held = LeaseStore(any_database), []

    def take(worker, device, beside):
        held.append(leases.hold_device(device, worker, "p", {}, beside))

    for turn in range(10):
        wants = [(f"x{turn}", "a", ("b",)), (f"y{turn}", "b", ("a",))]
        threads = [threading.Thread(target=take, args=each) for each in wants]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker, _, _ in wants:
            leases.worker_gone(worker)
    assert held.count(True) >= 10 and len(held) == 20


def test_a_job_goes_to_a_worker_that_holds_as_many(any_database):
    leases = LeaseStore(any_database)
    four, two, one = (_submit(any_database, gpus) for gpus in (4, 2, None))
    assert (four.gpus, two.gpus, one.gpus) == (4, 2, 1)
    for worker in ("narrow", "wide"):
        assert leases.hold_device(worker, worker, "p", {})
    assert leases.claim("narrow", "narrow").id == one.id
    assert leases.claim("narrow", "narrow") is None
    assert leases.claim("narrow", "narrow", gpus=2).id == two.id
    assert leases.claim("wide", "wide", gpus=2) is None
    assert leases.claim("wide", "wide", gpus=8).id == four.id


def test_a_wide_job_of_the_warm_group_is_left_to_a_wide_worker(any_database):
    leases = LeaseStore(any_database)
    _submit(any_database, 2, group="g")
    other = _submit(any_database, group="h")
    assert leases.hold_device("d", "w", "p", {})
    assert leases.claim("w", "d", "g").id == other.id


def test_a_group_of_devices_is_one_idle_worker(database):
    """Two jobs and a worker that idles on two devices: one job may come along."""
    leases = LeaseStore(database)
    assert leases.hold_device("a", "busy", "p", {})
    assert leases.hold_device("b", "idle", "p", {}, ("c",))
    job, *others = [_submit(database) for _ in range(3)]
    assert leases.claim("busy", "a").id == job.id
    assert [each.id for each in leases.waiting_company(job, 3)] == [others[0].id]


def test_a_worker_makes_what_its_devices_suffice_for_and_tells_how_many(database):
    wide, narrow, usual = _submit(database, 2), _submit(database, 4), _submit(database)
    first, second = _worker(database, ("a", "b")), _worker(database, ("b", "c"))
    assert first.is_able() and not second.is_able()
    told = first.leases.known_workers()[0]
    assert (told["device"], told["info"]["gpus"]) == ("a", 2)
    first.run()
    store = JobStore(database)
    states = [store.get(job.id).state for job in (wide, narrow, usual)]
    assert states == [State.COMPLETED, State.PENDING, State.COMPLETED]
    assert second.is_able(), "all devices are free again"


def test_names_of_devices():
    host = socket.gethostname()
    assert device_names("cpu", 4) == (f"{host}/cpu",)
    assert device_names("a+b", 2) == (f"{host}/a", f"{host}/b")


@pytest.mark.parametrize("text", ["0", "17", "two", "1.5", "-1"])
def test_a_wrong_number_is_one_sentence(monkeypatch, text):
    monkeypatch.setenv("NEWSREEL_GPUS_PER_WORKER", text)
    with pytest.raises(BadInputError, match=f"NEWSREEL_GPUS_PER_WORKER is '{text}'; .* 1 to 16"):
        gpus_per_worker(None)
    assert gpus_per_worker(2) == 2
    with pytest.raises(BadInputError, match="--gpus is '17'"):
        gpus_per_worker(17)


def test_a_worker_holds_no_more_cards_than_there_are():
    card = Hardware(device="cuda", name="a card", memory=1, free_memory=1, count=2)
    assert holding(card, 2).held == 2
    with pytest.raises(BadInputError, match="is to hold 4 GPUs .* and 2 GPUs can be seen here"):
        holding(card, 4)
    cpu = card.model_copy(update={"device": "cpu", "count": 1})
    assert holding(cpu, 4).held == 4


@pytest.mark.parametrize(("workers", "gpus", "shown", "visible", "wanted"), [
    (1, 1, 0, "", [None]),
    (2, 1, 4, "", ["0", "1"]),
    (3, 1, 2, "", ["0", "1", "0"]),
    (2, 1, 2, "3,1", ["3", "1"]),
    (3, 1, 2, "0,1,7", ["0", "1", "0"]),  # CUDA shows those before one that there is not
    (2, 1, 1, "0,-1,1", ["0", "0"]),
    (2, 2, 0, "", [None, None]),
    (2, 2, 4, "", ["0,1", "2,3"]),
    (1, 2, 4, "", ["0,1"]),
    (2, 2, 4, "7,5,GPU-a, GPU-b", ["7,5", "GPU-a,GPU-b"]),
    (0, 2, 0, "", []),
])  # fmt: skip
def test_each_worker_gets_cards_of_its_own(workers, gpus, shown, visible, wanted):
    assert groups(workers, gpus, shown, {VISIBLE: visible}) == wanted


def test_more_workers_than_cards_are_one_sentence():
    with pytest.raises(BadInputError, match=r"WORKERS=2 with .*WORKER=2 takes 4 GPUs, and 3 GPUs"):
        groups(2, 2, 3, {})


def test_cards_are_counted_in_another_process():
    assert cards_shown() == torch.cuda.device_count()


@pytest.mark.parametrize(("gpus", "first", "second"), [(2, "4,5", "6,7"), (1, "4", "5")])
def test_the_supervisor_shows_each_worker_its_cards(database, monkeypatch, gpus, first, second):
    started = []

    class Started:
        returncode = None

        def __init__(self, command, env, **_):
            started.append((command[-2:], env.get(VISIBLE)))

        def poll(self):
            return None

        def terminate(self):
            self.returncode = 0

        def wait(self, _=None):
            return 0

    monkeypatch.setattr(supervise, "cards_shown", lambda: 4)
    monkeypatch.setattr(supervise.subprocess, "Popen", Started)
    monkeypatch.setenv(VISIBLE, "4,5,6,7")
    supervisor = Supervisor(LeaseStore(database), ["--maker", "fake"], count=2, gpus=gpus)
    supervisor.start()
    try:
        wait_until(lambda: all(child.process for child in supervisor.children))
    finally:
        supervisor.stop()
    assert started == [(["--gpus", str(gpus)], first), (["--gpus", str(gpus)], second)]
    assert os.environ[VISIBLE] == "4,5,6,7"
    with pytest.raises(BadInputError, match="takes 6 GPUs, and 4 GPUs can be seen"):
        Supervisor(LeaseStore(database), [], count=3, gpus=2)


@pytest.mark.parametrize(("maker", "device", "refused"), [
    ("engine", "cpu", False), ("fake", "auto", False), ("engine", "auto", True),
    ("engine", "cuda", True),
])  # fmt: skip
def test_cards_are_counted_for_workers_that_use_them(monkeypatch, home, maker, device, refused):
    """One card, and two devices a worker: too few of cards; on a CPU they are processes."""
    monkeypatch.setattr(supervise, "cards_shown", lambda: 1)
    settings = ServiceSettings(
        database=f"sqlite:///{home.parent / 'jobs.db'}", maker=maker, device=device,
        gpus_per_worker=2,
    )  # fmt: skip
    if refused:
        with pytest.raises(BadInputError, match="takes 2 GPUs, and 1 GPU can be seen here"):
            make_service(settings, open_store())
    else:
        assert make_service(settings, open_store()).supervisor.gpus == 2


def test_a_clip_of_two_processes_on_a_cpu(database, photograph, tiny_folder, home):
    """The engine itself: a worker for one leaves the job, one that holds two makes it."""
    files, store = open_store(), JobStore(database)
    digest = sha256_of(photograph)
    keep(files, stored_key(f"{digest}.png"), photograph.read_bytes(), digest)
    asked = {"input_image": stored_address(f"{digest}.png"), "prompt": "pan left", "gpus": 2,
             "seed": 1, "model": str(tiny_folder), "num_inference_steps": 2,
             "score": False}  # fmt: skip
    job, _ = store.submit(NewJob("generate", "a", asked))
    for gpus, state in ((1, State.PENDING), (2, State.COMPLETED)):
        runner, info = make_runner("engine", "cpu", files, gpus)
        assert info["hardware"]["held"] == gpus
        leases = LeaseStore(database)
        Worker(leases, runner, files, "host/cpu", info=info, gpus=gpus, once=True).run()
        found = store.get(job.id)
        assert found.state is state, found.error
        assert isinstance(runner, EngineRunner)
        runner.sessions.close()
    manifest = (home / "examples" / found.artifact).with_suffix(".json").read_text("utf-8")
    assert '"gpus": 2' in manifest
