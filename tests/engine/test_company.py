"""Real processes beside this one: what becomes of them, and of the clip, whatever happens."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from src.core.errors import CancelledError, LostProcessError, NotFiniteError
from src.core.paths import REPOSITORY
from src.core.plan import Plan, SessionKey, Size
from src.core.progress import CancelToken, ignore
from src.engine.company import MODULE, Company, MemberFailure, environment
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.blueprint import TINY
from src.pipelines.cogvideox.schedulers import timesteps
from src.pipelines.parallel.division import plan_division
from tests.waiting import wait_until

STEPS = 4
READY = (
    "import pickle, sys, time; pickle.dump('ready', sys.stdout.buffer); "
    "sys.stdout.flush(); time.sleep(600)"
)
"""A process that says it is ready, and never joins the group."""
STOPS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(scope="module")
def plan():
    size = Size(width=64, height=48)
    key = {"model": "tiny", "source": "folder:tiny", "device": "cpu", "dtype": "float32"}
    return Plan(
        mode="optimized", profile="plain", session=SessionKey(**key, vae="fast", gpus=2),
        weights={}, image_sha256="", fit="cover", prompt="pan left", negative_prompt="",
        max_sequence_length=32, scheduler="dpm", timesteps=timesteps(STEPS),
        guidance=(1.0,) * STEPS, num_frames=9, fps=8.0, native=size, delivered=size,
        upscaler="lanczos", seed=3, score=False, division=plan_division(2, TINY.heads, False),
    )  # fmt: skip


@pytest.fixture(scope="module")
def shared(plan, tiny_folder):
    made = Session(plan.session, tiny_folder)
    yield made
    made.unload()


@pytest.fixture
def session(shared):
    """In any order of the tests: a process is in one group at a time."""
    shared.load()
    return shared


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def run(session, plan, photo, listener=ignore, cancel=None):
    pieces = session.run(plan, photo, Stopwatch(), listener, cancel or CancelToken())
    return np.stack(list(pieces))


def others(session):
    return [psutil.Process(member.process.pid) for member in session._company.members]


def test_a_clip_of_several_processes_and_one_that_is_cancelled(session, plan, photo, tiny_folder):
    """A cancelled clip ends in all of them at one step, and the next one is made by the same."""
    key = plan.session.model_copy(update={"gpus": 1})
    one = plan.model_copy(update={"session": key, "division": None})
    alone = run(Session(key, tiny_folder), one, photo)
    assert np.abs(run(session, plan, photo).astype(int) - alone).max() <= 1
    before, cancel, seen = others(session), CancelToken(), []

    def stop(report):
        seen.append(report)
        if (report.stage, report.done) == ("denoise", 2):
            cancel.cancel()

    with pytest.raises(CancelledError):
        run(session, plan, photo, stop, cancel)
    assert (seen[-1].stage, seen[-1].done) == ("denoise", 2)
    again = run(session, plan, photo)
    assert np.abs(again.astype(int) - alone).max() <= 1
    assert others(session) == before


def test_the_clip_after_one_that_is_cancelled_while_decoding(session, plan, photo, tiny_folder):
    """The last process has handed a piece's history on by then: the next clip must not take it."""
    key = plan.session.model_copy(update={"gpus": 1})
    long = plan.model_copy(update={"num_frames": 25})
    other = long.model_copy(update={"seed": 4})
    one = other.model_copy(update={"session": key, "division": None})
    alone = run(Session(key, tiny_folder), one, photo)
    cancel = CancelToken()

    def stop(report):
        if (report.stage, report.done, report.total) == ("decode", 2, 3):
            cancel.cancel()

    with pytest.raises(CancelledError):
        run(session, long, photo, stop, cancel)
    assert cancel.cancelled
    assert np.abs(run(session, other, photo).astype(int) - alone).max() <= 1


def test_a_lost_process_ends_the_clip_with_a_sentence(session, plan, photo):
    session.load()
    left = others(session)

    def lose(report):
        if (report.stage, report.done) == ("denoise", 1):
            left[0].send_signal(signal.SIGKILL)

    sentence = "process 2 of 2 that make this clip ended by SIGKILL; nothing was written"
    with pytest.raises(LostProcessError, match=sentence) as told:
        run(session, plan, photo, lose)
    assert told.value.exit_code == 4
    assert session._company is None
    psutil.wait_procs(left, 10)
    assert not any(process.is_running() for process in left)


@pytest.fixture
def stand_in(plan, tiny_folder, monkeypatch, shared):
    """A company whose one other process is told by a script."""
    shared.unload()
    made = []

    def build_one(script):
        monkeypatch.setattr("src.engine.company.COMMAND", (sys.executable, "-c", script))
        made.append(Company(plan.session, tiny_folder))
        return made[-1]

    yield build_one
    for company in made:
        company.end()


def test_one_that_ends_before_it_is_ready_is_told(stand_in):
    company = stand_in("raise SystemExit(3)")
    with pytest.raises(LostProcessError, match="process 2 of 2 .* ended with exit code 3"):
        company.gather(5)


def test_what_a_process_fails_of_is_told_and_lack_of_memory_steps_down(stand_in):
    script = (
        "import pickle, sys; from src.engine.company import MemberFailure; "
        "pickle.dump(MemberFailure('{0}', {1}), sys.stdout.buffer)"
    )
    company = stand_in(script.format("a bug", False))
    with pytest.raises(LostProcessError, match="process 2 of 2 .* failed: a bug"):
        company.gather(5)
    company = stand_in(script.format("no more", True))
    with pytest.raises(MemoryError, match="out of memory in process 2 of 2: no more"):
        company.gather(5)
    assert company.lost.failure == MemberFailure("no more", True)


def test_an_error_of_our_own_is_told_as_it_is(stand_in):
    """Numbers that are not finite are so in every process; one that just ended says nothing."""
    own = NotFiniteError("the latents of step 3 are not finite")
    company = stand_in("import time; time.sleep(600)")
    assert company.reason(own) is own
    company.lost = company.members[0]
    company.lost.failure = MemberFailure("the latents of step 3 are not finite", False)
    assert company.reason(own) is own
    switch = ValueError("a kernel that is not there")
    assert company.reason(switch) is switch
    assert isinstance(company.reason(RuntimeError("gloo: closed")), LostProcessError)
    company.lost.failure = None
    company.lost.process.kill()
    assert isinstance(company.reason(own), LostProcessError)
    stop = KeyboardInterrupt()
    assert company.reason(stop) is stop


def test_a_process_that_does_not_answer_is_given_up(stand_in):
    company = stand_in(READY)
    with pytest.raises(LostProcessError, match="does not answer"):
        company.gather(1)
    assert not torch.distributed.is_initialized()


def test_the_next_group_forms_after_one_that_did_not(stand_in, plan, tiny_folder, monkeypatch):
    """In the same process, as a worker goes on: all look for each other under one name."""
    company = stand_in(READY)
    with pytest.raises(LostProcessError, match="does not answer"):
        company.gather(1)
    company.end()
    monkeypatch.undo()
    following = Company(plan.session, tiny_folder)
    try:
        assert following.gather(60).count == 2
    finally:
        following.end()


def test_a_process_that_never_gets_ready_is_given_up(stand_in):
    company = stand_in("import time; time.sleep(600)")
    with pytest.raises(LostProcessError, match="does not answer"):
        company.gather(0.1)


def test_a_process_ends_with_its_leader():
    """Its input ends, however the leader did; interrupts of a terminal are the leader's to hear."""
    member = subprocess.Popen(
        [sys.executable, "-m", MODULE], cwd=REPOSITORY, env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    ignored = Path("/proc") / str(member.pid) / "status"
    with suppress(FileNotFoundError):  # other systems than Linux
        wait_until(lambda: _ignores_stops(ignored), 60)
        for number in STOPS:
            member.send_signal(number)
    assert member.poll() is None
    member.communicate(timeout=60)
    assert member.returncode == 0


def _ignores_stops(status):
    masks = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return all(int(masks["SigIgn"], 16) & 1 << (number - 1) for number in STOPS)
