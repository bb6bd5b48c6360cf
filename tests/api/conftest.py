"""A service in the test's process, with a fake worker in a thread."""

import io
import re
import threading

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from src.accounts.rights import Right, Role
from src.api.app import create_app
from src.api.decoding import MEMORY, MOST
from src.api.settings import ServiceSettings
from src.jobs.leases import LeaseStore
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from src.worker.wall import DecodeLimits, Wall
from tests.api.release_kit import make


class SharedWall(Wall):
    """Its processes decode for every service of the tests: each imports for most of a second."""

    def close(self):
        """They are kept for the next service."""


@pytest.fixture(scope="session")
def shared_wall():
    made = SharedWall(DecodeLimits(memory=MEMORY))
    made.start(MOST)
    yield made
    Wall.close(made)


@pytest.fixture
def make_client(tmp_path, shared_wall):
    """Builds a client for a service with these settings; its worker runs only if asked for."""
    started = []

    def make(work=True, files=None, **values):
        defaults = {"database": f"sqlite:///{tmp_path / 'jobs.db'}", "workers": 0, "min_free": 0,
                    "per_minute": 1000, "hosts": "testserver"}  # fmt: skip
        app = create_app(ServiceSettings(**defaults | values), files)
        app.state.service.decoding.wall = shared_wall
        client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        client.__enter__()
        service = app.state.service
        worker = Worker(
            LeaseStore(service.database), FakeRunner(), service.files, "host/fake", poll_s=0.05
        )
        thread = threading.Thread(target=worker.run)
        if work:
            thread.start()
        started.append((client, worker, thread))
        return client

    yield make
    for client, worker, thread in started:
        worker.stopping.set()
        worker.giving_back.set()
        if thread.ident:
            thread.join()
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client):
    """Open to all, with a worker."""
    return make_client(auth="off")


def log_in(client, secret, **fields):
    """Log the client's browser in; returns the answer."""
    page = client.get("/login")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    return client.post("/login", data={"key": secret, "csrf": token} | fields)


@pytest.fixture
def keys(make_client):
    """A service with authentication: its client, and a header for each role."""
    client = make_client()
    accounts = client.app.state.service.accounts
    made = {role: accounts.create(role, role, 1000, 100_000)[0] for role in Role}
    made["other"] = accounts.create("other", Role.SUBMIT, 1000, 100_000)[0]
    return client, {name: {"Authorization": f"Bearer {secret}"} for name, secret in made.items()}


@pytest.fixture(scope="session")
def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def house(make_client):
    """A service with approval: its client, and headers by name."""
    client = make_client(approval="on")
    accounts, heads = client.app.state.service.accounts, {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (), "Anna"), ("other", Role.SUBMIT, (), "Otto"),
        ("chief", Role.READ, (Right.APPROVE,), "Chief"),
        ("deputy", Role.READ, (Right.APPROVE,), "Deputy"),
        ("cms", Role.READ, (Right.RELEASE,), ""), ("boss", Role.ADMIN, (Right.APPROVE,), "Boss"),
        ("anna2", Role.READ, (Right.APPROVE,), "Anna"), ("looks", Role.READ, (), ""),
    ]:  # fmt: skip
        secret, _ = accounts.create(name, role, 1000, 100_000, rights=rights, person=person)
        heads[name] = {"Authorization": f"Bearer {secret}"}
    return client, heads


@pytest.fixture
def clip(house, jpeg):
    """A finished job of anna's."""
    return make(*house, jpeg)
