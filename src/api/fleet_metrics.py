"""Gauges of what the service watches over: what waits, by priority; workers and their GPUs; the
disk.
"""

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from src.api.forms import PRIORITIES
from src.core.files import free_bytes
from src.jobs.leases import LeaseStore
from src.jobs.store import JobStore

GPU = {
    "busy": ("newsreel_gpu_busy_ratio", "How busy a worker's GPU is, 0 to 1."),
    "memory_used": ("newsreel_gpu_memory_used_bytes", "What is taken of its memory."),
    "memory": ("newsreel_gpu_memory_bytes", "All of its memory."),
    "celsius": ("newsreel_gpu_celsius", "Its temperature."),
}
"""What a worker tells of its GPU (`src/worker/gpu.py`), and as which metric that is shown."""

SHOWN_S = 600.0
"""A worker that is silent for longer has no series: an alert on its silence ends, for a worker that
was killed never comes back by its name.
"""


class FleetGauges:
    """Set when they are asked for. home: the folder whose disk is watched."""

    def __init__(
        self, registry: CollectorRegistry, store: JobStore, leases: LeaseStore, home: Path
    ) -> None:
        self.store, self.leases, self.home = store, leases, home

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.waiting = gauge(
            "newsreel_queue_waiting_seconds", "How long the oldest has waited.", "priority"
        )
        self.oldest = gauge(
            "newsreel_queue_oldest_seconds", "How long the longest-waiting job has waited."
        )
        self.workers = gauge(
            "newsreel_workers", "Workers that told something within a lease.", "device"
        )
        self.silent = gauge(
            "newsreel_worker_silent_seconds",
            "Since a worker told something, for ten minutes.",
            "worker",
        )
        self.gpu = {key: gauge(*told, "worker") for key, told in GPU.items()}
        self.disk = gauge("newsreel_disk_free_bytes", "Free where the home lies.")

    def update(self) -> None:
        """As it is now."""
        oldest = self.store.oldest_waiting()
        self.oldest.set(max(oldest.values(), default=0.0))
        for name, priority in PRIORITIES.items():
            self.waiting.labels(name).set(oldest.get(priority, 0.0))
        self.disk.set(free_bytes(self.home))
        for each in (self.workers, self.silent, *self.gpu.values()):
            each.clear()
        for worker in self.leases.known_workers():
            self._worker(worker)

    def _worker(self, worker: dict[str, Any]) -> None:
        silent = max(0.0, worker["silent_s"])
        if silent < SHOWN_S:
            self.silent.labels(worker["worker"]).set(silent)
        if silent < self.leases.lease_s:
            self.workers.labels(worker["device"]).inc()
            for key, value in (worker["info"].get("gpu") or {}).items():
                self.gpu[key].labels(worker["worker"]).set(value)
