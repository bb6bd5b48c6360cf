"""Metrics for Prometheus. Jobs' figures are read from the events, so that workers need no port of
their own.
"""

import threading
import time
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from src.artifacts.store import ArtifactStore, StoreAwayError
from src.core.addresses import QUARANTINE
from src.jobs.leases import LeaseStore
from src.jobs.model import Event, State
from src.jobs.store import JobStore, UnknownJobError

BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)


class ServiceMetrics:
    """Counters of this process, and figures of the queue when they are asked for."""

    def __init__(self, store: JobStore, leases: LeaseStore, files: ArtifactStore) -> None:
        self.store, self.leases, self.files = store, leases, files
        self._seen = self._newest(store)
        self.registry, self._turn = CollectorRegistry(), threading.Lock()
        self.submitted = self._counter("newsreel_jobs_submitted_total", "Jobs accepted.", ["kind"])
        self.finished = self._counter(
            "newsreel_jobs_finished_total", "Jobs that ended.", ["kind", "state"]
        )
        self.failures = self._counter(
            "newsreel_job_failures_total", "Failed jobs by class of error.", ["error"]
        )
        self.stage = Histogram(
            "newsreel_stage_seconds", "Seconds of each stage of a job.", ["stage"], buckets=BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.total = Histogram(
            "newsreel_job_seconds",
            "From submission to the end.",
            ["kind"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.fps = self._gauge(
            "newsreel_frames_per_second", "Delivered frames a second of the last job.", ["kind"]
        )
        self.depth = self._gauge("newsreel_queue_jobs", "Jobs that wait or run.", ["state"])
        self.age = self._gauge(
            "newsreel_queue_oldest_seconds", "How long the longest-waiting job has waited.", []
        )
        self.workers = self._gauge(
            "newsreel_workers", "Workers that told something within a lease.", ["device"]
        )
        self.memory = self._gauge(
            "newsreel_memory_bytes", "Peak memory of the last job, and of this process.", ["of"]
        )
        self.aside = self._gauge(
            "newsreel_quarantined_files", "Files that no job of this database names.", []
        )
        self.store_up = self._gauge(
            "newsreel_store_up", "Whether the store of files can be reached.", []
        )
        self.requests = Histogram(
            "newsreel_http_seconds",
            "Seconds of HTTP answers.",
            ["method", "status"],
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    @staticmethod
    def _newest(store: JobStore) -> int:
        """Count from the service's start: what came before was counted by the process before."""
        return store.last_event()

    def text(self) -> bytes:
        """The exposition format. Each event counts once, however many ask at a time."""
        with self._turn:
            return self._text()

    def _text(self) -> bytes:
        for event in self.store.events(None, self._seen, 10_000):
            self._seen = event.id
            if event.kind == "state":
                self._ended(event)
        for state, count in self.store.counts().items():
            self.depth.labels(state).set(count)
        self.age.set(self.store.oldest_waiting())
        self._of_workers()
        self._of_store()
        self.memory.labels("api").set(psutil.Process().memory_info().rss)
        return generate_latest(self.registry)

    def _of_store(self) -> None:
        """A store that is away is told, and hides none of the other figures."""
        try:
            self.aside.set(sum(1 for _ in self.files.list(QUARANTINE)))
            self.store_up.set(1)
        except StoreAwayError:
            self.store_up.set(0)

    def _of_workers(self) -> None:
        self.workers.clear()
        for worker in self.leases.known_workers():
            if worker["seen_at"] > time.time() - self.leases.lease_s:
                self.workers.labels(worker["device"]).inc()

    def _ended(self, event: Event) -> None:
        state = State(event.data["state"])
        if not state.final:
            return
        try:
            job = self.store.get(event.job_id)
        except UnknownJobError:
            return
        self.finished.labels(job.kind, state).inc()
        if state is State.FAILED and job.error:
            self.failures.labels(job.error["type"]).inc()
        if state is State.COMPLETED and job.result and job.finished_at:
            self.total.labels(job.kind).observe(job.finished_at - job.created_at)
            self._costs(job.kind, job.result)

    def _costs(self, kind: str, result: dict[str, Any]) -> None:
        seconds = result.get("seconds") or {}
        for stage, value in seconds.items():
            self.stage.labels(stage).observe(value)
        if result.get("frames") and sum(seconds.values()):
            self.fps.labels(kind).set(result["frames"] / sum(seconds.values()))
        for name in ("peak_rss", "peak_vram"):
            if result.get(name):
                self.memory.labels(name).set(result[name])
