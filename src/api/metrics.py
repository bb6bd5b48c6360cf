"""Metrics for Prometheus. Jobs' figures are counted from the events into the database, so that
workers need no port of their own, and all replicas tell the same.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator

import psutil
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from src.api.fleet_metrics import FleetGauges
from src.artifacts.store import ArtifactStore, StoreAwayError
from src.broker.permits import NoPermits, Permits
from src.core.addresses import QUARANTINE
from src.core.paths import home
from src.jobs.leases import LeaseStore
from src.jobs.store import JobStore
from src.jobs.tally import Labels, Tally

COUNTERS = {
    "newsreel_jobs_submitted": ("Jobs accepted.", ["kind"]),
    "newsreel_jobs_finished": ("Jobs that ended.", ["kind", "state"]),
    "newsreel_job_failures": ("Failed jobs by class of error.", ["error"]),
}
HISTOGRAMS = {
    "newsreel_stage_seconds": ("Seconds of each stage of a job.", ["stage"]),
    "newsreel_job_seconds": ("From submission to the end.", ["kind"]),
}
GAUGES = {
    "newsreel_frames_per_second": ("Delivered frames a second of the last job.", ["kind"]),
    "newsreel_memory_bytes": ("Peak memory of the last job, and of this process.", ["of"]),
}


class JobTotals:
    """The database's totals as a collector."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def collect(self) -> Iterator[Metric]:
        found = self.tally.totals()
        found["newsreel_memory_bytes", (("of", "api"),)] = psutil.Process().memory_info().rss
        for name, (text, labels) in COUNTERS.items():
            yield _filled(CounterMetricFamily(name, text, labels=labels), name, found)
        for name, (text, labels) in GAUGES.items():
            yield _filled(GaugeMetricFamily(name, text, labels=labels), name, found)
        for name, (text, labels) in HISTOGRAMS.items():
            yield _histogram(HistogramMetricFamily(name, text, labels=labels), name, found)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily,
    name: str,
    found: dict[tuple[str, Labels], float],
) -> Metric:
    for (metric, labels), value in sorted(found.items()):
        if metric == name:
            family.add_metric([text for _, text in labels], value)
    return family


def _histogram(
    family: HistogramMetricFamily, name: str, found: dict[tuple[str, Labels], float]
) -> Metric:
    buckets: dict[Labels, dict[str, float]] = defaultdict(dict)
    for (metric, labels), value in found.items():
        if metric == f"{name}_bucket":
            buckets[labels[:-1]][labels[-1][1]] = value
    for labels, counts in sorted(buckets.items()):
        ordered = sorted(counts.items(), key=lambda bucket: float(bucket[0]))
        values = [text for _, text in labels]
        family.add_metric(values, ordered, found.get((f"{name}_sum", labels), 0.0))
    return family


class ServiceMetrics:
    """Totals of the database, figures of the queue when they are asked for, and this process's
    answers.
    """

    def __init__(
        self, store: JobStore, leases: LeaseStore, files: ArtifactStore,
        permits: Permits | None = None,
    ) -> None:  # fmt: skip
        self.store, self.leases, self.files = store, leases, files
        self.permits = permits or NoPermits()
        self.registry, self._turn = CollectorRegistry(), threading.Lock()
        self.tally = Tally(store)
        self.tally.begin()
        self.registry.register(JobTotals(self.tally))
        self.depth = self._gauge("newsreel_queue_jobs", "Jobs that wait or run.", ["state"])
        self.fleet = FleetGauges(self.registry, store, leases, home())
        self.aside = self._gauge(
            "newsreel_quarantined_files", "Files that no job of this database names.", []
        )
        self.store_up = self._gauge(
            "newsreel_store_up", "Whether the store of files can be reached.", []
        )
        broker = self._gauge(
            "newsreel_broker_up", "Whether the broker answered when it was last asked.", ["kind"]
        )
        if self.permits.answers is not None:
            broker.labels("amqp").set_function(lambda: float(bool(self.permits.answers)))
        self.requests = Histogram(
            "newsreel_http_seconds",
            "Seconds of HTTP answers.",
            ["method", "status"],
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        with self._turn:
            return self._text()

    def _text(self) -> bytes:
        self.tally.count()
        for state, count in self.store.counts().items():
            self.depth.labels(state).set(count)
        self.fleet.update()
        self._of_store()
        return generate_latest(self.registry)

    def _of_store(self) -> None:
        """A store that is away is told, and hides none of the other figures."""
        try:
            self.aside.set(sum(1 for _ in self.files.list(QUARANTINE)))
            self.store_up.set(1)
        except StoreAwayError:
            self.store_up.set(0)
