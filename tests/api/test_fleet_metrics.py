"""What is shown of workers: those that live, and for a while those that fell silent."""

import pytest
from prometheus_client import CollectorRegistry

from src.api.fleet_metrics import SHOWN_S, FleetGauges
from src.jobs.leases import LeaseStore
from src.jobs.store import JobStore


@pytest.mark.parametrize(
    ("silent", "shown"), [(0.0, 0.0), (180.0, 180.0), (SHOWN_S - 1, SHOWN_S - 1), (SHOWN_S, None)]
)
def test_a_worker_that_was_killed_is_shown_long_enough_to_alert_and_no_longer(
    database, tmp_path, silent, shown
):
    now, registry = [1_790_000_000.0], CollectorRegistry()
    store, leases = JobStore(database), LeaseStore(database, lambda: now[0])
    gauges = FleetGauges(registry, store, leases, tmp_path)
    leases.hold_device("host/x", "w1", "p", {})
    gauges.update()
    now[0] += silent
    gauges.update()
    told = registry.get_sample_value("newsreel_worker_silent_seconds", {"worker": "w1"})
    assert told == shown
