import pytest

from src.jobs.leases import LeaseStore
from src.jobs.store import JobStore


class Time:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def database(any_database):
    return any_database


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def store(database, time):
    return JobStore(database, time)


@pytest.fixture
def leases(database, time):
    made = LeaseStore(database, time, lease_s=60)
    assert made.hold_device("host/cpu", "w1", "p", {})
    return made
