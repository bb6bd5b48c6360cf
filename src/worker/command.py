"""The worker's command line."""

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import typer
from loguru import logger

from src.console.error_tracking import track_errors
from src.console.options import make_app, switch, value
from src.console.output import command
from src.core.paths import home
from src.database.house import occupy
from src.jobs.leases import LEASE_S
from src.worker.pulse import Heart, Pulse

if TYPE_CHECKING:
    from src.worker.loop import Worker

JOB_LIMIT_S = 6 * 3600.0
OPTIONS: dict[str, Any] = {
    "database": value(
        str, "Database URL. Default NEWSREEL_DATABASE, or newsreel.db under NEWSREEL_HOME."
    ),
    "device": value(str, "auto (the default), cpu or cuda; one worker holds a device."),
    "maker": value(
        str,
        "engine (the default), or fake: a stand-in that writes a few bytes, for tests and load.",
    ),
    "warm": value(
        str, "Load this before the first job: baseline or optimized. Default NEWSREEL_WARM."
    ),
    "lease": value(
        float, "Seconds after which a silent worker's job is given to another. Default 60."
    ),
    "drain": value(float, "Seconds that a running job may still take after SIGTERM. Default 30."),
    "job_limit": value(float, "Seconds that a job may run. Default 21600, six hours."),
    "stall": value(
        float, "Seconds in which a job must report something. Default: 15 to 30 minutes, by stage."
    ),
    "pulse": value(
        int, "File descriptor to which a sign of life is written; the service gives one."
    ),
    "name": value(str, "Of this worker in the store; the service gives one."),
    "once": switch("Stop when the queue is empty.", "--once"),
    "supervisor": value(
        int, "Pid of the process that watches this one: without it, the worker stops after its job."
    ),
}


def worker_app() -> typer.Typer:
    """Runs until SIGTERM or Ctrl-C; then the running job may end, or goes back to the queue."""
    return make_app(OPTIONS, "Take jobs from the store and run them; one worker a device.", _main)


def _main(values: dict[str, Any]) -> None:
    with command():
        track_errors()
        if values["supervisor"] is not None:
            os.nice(5)  # beside the service that answers clients
        pulse = Pulse(stall=values["stall"] or 0.0)
        heart = Heart(pulse, values["lease"] or LEASE_S, values["pulse"])
        heart.start()  # before torch is imported and weights are hashed, which takes long
        with occupy(home()):
            worker = make_worker(values, pulse)
            logger.configure(extra={"worker": worker.name})
            _stop_on_signals(worker, 30.0 if values["drain"] is None else values["drain"])
            worker.run()
        heart.stop()


def make_worker(values: dict[str, Any], pulse: Pulse) -> "Worker":
    """The worker that the flags describe."""
    from src.artifacts.registry import bind_store, open_store
    from src.database.database import Database
    from src.database.settings import database_url
    from src.jobs.leases import LeaseStore
    from src.worker.loop import Worker
    from src.worker.patience import WorkerPatience
    from src.worker.process import device_name
    from src.worker.runners import make_runner

    database = Database(values["database"] or database_url())
    database.migrate()
    patience = WorkerPatience(pulse)
    files = open_store(patience)
    bind_store(database, files)
    runner, info = make_runner(values["maker"] or "engine", values["device"] or "auto", files)
    leases = LeaseStore(database, lease_s=values["lease"] or LEASE_S)
    named = {"name": values["name"]} if values["name"] else {}
    worker = Worker(
        leases, runner, files, device_name(info["device"]), info=info, once=bool(values["once"]),
        parent=values["supervisor"], limit_s=values["job_limit"] or JOB_LIMIT_S, pulse=pulse,
        preload=values["warm"] or os.environ.get("NEWSREEL_WARM") or None, **named,
    )  # fmt: skip
    patience.over = worker.is_to_stop
    return worker


def _stop_on_signals(worker: "Worker", drain: float) -> None:
    def stop(*_: object) -> None:
        if worker.stopping.is_set():
            worker.giving_back.set()
        worker.stopping.set()
        timer = threading.Timer(drain, worker.giving_back.set)
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
