"""The service's threads and workers end on every way out,
also where only a part of it had started.
"""

import threading

import psutil
import pytest
from fastapi.testclient import TestClient

from src.api.app import create_app
from src.api.broadcaster import EventBroadcaster
from src.api.housekeeper import Housekeeper
from src.api.settings import ServiceSettings
from tests.waiting import wait_until

NAMES = {"supervisor", "keeper"}


def _threads():
    return {thread.name for thread in threading.enumerate()} & NAMES


@pytest.mark.parametrize(
    ("part", "name"),
    [(Housekeeper, "start"), (EventBroadcaster, "start"), (EventBroadcaster, "stop")],
)
def test_where_a_part_fails_the_others_are_stopped(tmp_path, monkeypatch, part, name):
    def fail(self):
        wait_until(lambda: service.supervisor.alive())
        raise RuntimeError(f"{name} failed")

    monkeypatch.setattr(part, name, fail)
    app = create_app(
        ServiceSettings(
            database=f"sqlite:///{tmp_path / 'jobs.db'}", workers=1, maker="fake", auth="off"
        )
    )
    service = app.state.service
    with pytest.raises(RuntimeError, match=f"{name} failed"), TestClient(app):
        assert _threads() == NAMES
    workers = [child.process.pid for child in service.supervisor.children]
    assert workers
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert _threads() == set()
