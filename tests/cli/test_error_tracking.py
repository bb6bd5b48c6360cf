"""Errors reach a tracker that speaks Sentry's protocol: a server of our own stands for it."""

import json
import os
import subprocess
import sys

import pytest

from src.core.paths import REPOSITORY
from tests.receiver import receiver

pytest.importorskip("sentry_sdk", reason="sentry-sdk is an extra (requirements-fleet.txt)")
FAILS = """
from loguru import logger
from src.console.error_tracking import track_errors
from src.console.logs import setup_logs
setup_logs()
track_errors()
secret = "nr_a_secret_key"
with logger.contextualize(job="j1", request="r1"):
    logger.warning("only a warning")
    try:
        raise RuntimeError("the lens is broken")
    except RuntimeError:
        logger.exception("a job ended badly")
    logger.error("a plain error")
"""


@pytest.fixture
def tracker():
    """A URL with a key, and the events that came."""
    events = []

    def take(data):
        events.extend(json.loads(line) for line in data.splitlines()[2::2] if line)

    with receiver(take) as host:
        yield f"http://key@{host}/1", events


def run(dsn, code=FAILS):
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True,
                          text=True, env=os.environ | {"NEWSREEL_SENTRY_DSN": dsn})  # fmt: skip


def test_what_is_logged_as_an_error_is_sent_with_its_stack_and_no_values(tracker):
    dsn, events = tracker
    done = run(dsn)
    assert (done.returncode, "the lens is broken" in done.stderr) == (0, True), done.stderr
    failed, plain = events
    assert failed["exception"]["values"][-1]["value"] == "the lens is broken"
    assert failed["tags"] == plain["tags"] == {"job": "j1", "request": "r1"}
    assert plain["level"] == "error" and "a plain error" in json.dumps(plain)
    frames = failed["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames and all("vars" not in frame for frame in frames)


def test_without_it_nothing_is_sent_and_a_wrong_one_is_one_sentence(tracker):
    _, events = tracker
    assert run("").returncode == 0
    done = run("nonsense", "from src.console.error_tracking import track_errors; track_errors()")
    assert "NEWSREEL_SENTRY_DSN is no DSN" in done.stderr
    assert events == []
