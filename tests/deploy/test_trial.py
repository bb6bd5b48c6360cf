"""`make fleet`: the servers, the API and two workers as ordinary processes, and nothing left."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.trial import servers
from src.core.paths import REPOSITORY
from tests.broker.rabbit_kit import skip_without_rabbit
from tests.database.postgres_kit import postgres_server
from tests.deploy.test_watching import program
from tests.s3_kit import weed_program
from tests.waiting import wait_until


@pytest.fixture
def trial():
    """The launcher with fake workers, once it has told where everything is."""
    skip_without_rabbit()
    program("prometheus")
    weed_program()
    pytest.importorskip("obstore", reason="pip install -r requirements-fleet.txt")
    with postgres_server():
        pass  # skips where there is none
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "deploy.trial", "--port", str(port), "--maker", "fake"]
    launcher = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"NEWSREEL_FAKE_SECONDS": "0.1"},
    )  # fmt: skip
    try:
        yield launcher
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate(timeout=120)


def told(launcher):
    """Lines of the form `NAME  VALUE`, up to the last one."""
    found = {}
    for line in launcher.stdout:
        if line.startswith("Ctrl-C"):
            return found
        name, _, value = line.strip().partition(" ")
        found[name] = value.strip()
    raise AssertionError(launcher.stderr.read())


@pytest.mark.slow
def test_it_makes_a_clip_shows_its_figures_and_leaves_nothing(trial, photograph):
    said = told(trial)
    folder, url = Path(said["logs"]).parent, said["page"]
    started = psutil.Process(trial.pid).children(recursive=True)
    answer = httpx.post(
        f"{url}/generate-video", timeout=60,
        headers={"X-API-Key": said["key"]},
        data={"prompt": "pan left"}, files={"image": ("a.png", photograph.read_bytes())},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["temporal_score"]) == (200, 1.0)
    query = {"query": 'newsreel_jobs_finished_total{state="COMPLETED"} == 1'}
    found = lambda: httpx.get(f"{said['prometheus']}/api/v1/query", params=query).json()  # noqa: E731
    wait_until(lambda: found()["data"]["result"])
    trial.send_signal(signal.SIGINT)
    _, errors = trial.communicate(timeout=120)
    assert (trial.returncode, errors.strip()) == (0, "stopping")
    assert psutil.wait_procs(started, 5)[1] == []
    assert not folder.exists()


def test_what_is_missing_is_one_sentence_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(servers, "RABBIT", tmp_path / "nowhere")
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    monkeypatch.setattr(servers.sys, "executable", str(tmp_path / "python"))
    for kind, arguments, words in (
        (servers.Rabbit, (), "RabbitMQ is not installed: apt-get install"),
        (servers.Seaweed, (), "SeaweedFS is not installed: pip install"),
        (servers.Prometheus, ("", ""), "Prometheus is not installed: apt-get install"),
    ):
        with pytest.raises(servers.TrialError, match=re.escape(words)):
            kind(tmp_path).start(*arguments)


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path):
    server = servers.Server(tmp_path)
    process = server.run([sys.executable, "-c", "raise SystemExit('no room')"])
    with pytest.raises(servers.TrialError, match=r"a server did not start:\nno room"):
        servers.wait_for(lambda: False, "a server", process, server.log)
    assert server.ended()
    server.stop()
