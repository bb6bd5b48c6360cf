"""The service with a broker: its workers wait for permits, and it goes on without the broker."""

from src.database.database import Database
from src.jobs.model import State
from src.jobs.store import JobStore
from tests.broker.fleet_kit import submit
from tests.broker.rabbit_kit import rabbit_server
from tests.waiting import wait_until


def test_a_service_brings_jobs_by_permits_and_outlives_its_broker(running, home):
    with rabbit_server() as broker:
        service = running(NEWSREEL_BROKER=broker.url, NEWSREEL_LEASE="10").start()
        service.ready("/ready")
        store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
        first = submit(store)
        wait_until(lambda: store.get(first.id).state is State.COMPLETED)
        broker.kill()
        second = submit(store)
        assert service.get(f"/jobs/{second.id}")["state"] == "PENDING"
        assert service.get("/health")["status"] == "ok"
        broker.start()
        wait_until(lambda: store.get(second.id).state is State.COMPLETED, 90)
        service.stop()
        assert service.workers() == []
        store.database.engine.dispose()
