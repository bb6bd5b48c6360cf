"""The worker's command line."""

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from loguru import logger

from src.console.error_tracking import track_errors
from src.console.options import make_app, switch, value
from src.console.output import command
from src.console.tracing import start_tracing
from src.core.errors import BadInputError
from src.core.interrupts import STOPS
from src.core.kinds import kinds_among
from src.core.paths import home
from src.database.house import occupy
from src.jobs.leases import LEASE_S
from src.worker.pulse import Heart, Pulse

if TYPE_CHECKING:
    from src.worker.loop import Worker

JOB_LIMIT_S = 6 * 3600.0
PATIENCE_S = 3600.0
POOL = (2, 2)  # connections: the job's thread and the one that renews, of a hundred that there are
OPTIONS: dict[str, Any] = {
    "database": value(
        str, "Database URL. Default NEWSREEL_DATABASE, or newsreel.db under NEWSREEL_HOME."
    ),
    "device": value(str, "auto (the default), cpu or cuda; one worker holds a device."),
    "gpus": value(
        int,
        "GPUs that it holds, and that one clip may take: the first that CUDA shows; on a CPU, "
        "processes. Default NEWSREEL_GPUS_PER_WORKER, or 1.",
    ),
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
    "kinds": value(str, "Kinds of jobs to take, commas between: generate, upscale. Default: all."),
    "broker": switch("Wait for permits of the broker that NEWSREEL_BROKER names.", "--broker"),
    "prompts_per_forward": value(
        int,
        "Jobs that may share their forwards, where memory allows. Default "
        "NEWSREEL_PROMPTS_PER_FORWARD, or 1.",
    ),
    "patience": value(
        float, "Seconds to wait for a database that is away before giving up. Default 3600."
    ),
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
        start_tracing("worker")
        if values["supervisor"] is not None:
            os.nice(5)  # beside the service that answers clients
        pulse = Pulse(stall=values["stall"] or 0.0)
        heart = Heart(pulse, values["lease"] or LEASE_S, values["pulse"])
        heart.start()  # before torch is imported and weights are hashed, which takes long
        with occupy(home()):
            worker = make_worker(values, pulse)
            logger.configure(extra={"worker": worker.name})
            _stop_on_signals(worker, 30.0 if values["drain"] is None else values["drain"])
            _road(worker, values)()
        heart.stop()


def _road(worker: "Worker", values: dict[str, Any]) -> Callable[[], None]:
    """How it hears of jobs: it looks at the database, or waits for permits."""
    if not values["broker"]:
        return worker.run
    if values["once"]:
        raise BadInputError("--once is for a worker without --broker, which sees an empty queue")
    from src.broker.permits import BrokerPermits
    from src.broker.settings import broker_url
    from src.worker.permit_loop import PermitLoop

    url = broker_url()
    if url is None:
        raise BadInputError("--broker needs NEWSREEL_BROKER, such as amqp://user:password@host/")
    return PermitLoop(worker, url, BrokerPermits(url)).run


def make_worker(values: dict[str, Any], pulse: Pulse) -> "Worker":
    """The worker that the flags describe."""
    from src.artifacts.registry import bind_store, open_store
    from src.database.database import Database
    from src.database.settings import database_url
    from src.jobs.leases import LeaseStore
    from src.worker.cards import gpus_per_worker
    from src.worker.loop import Worker
    from src.worker.make_runner import make_runner
    from src.worker.patience import WorkerPatience, wait_for
    from src.worker.process import device_names

    gpus = gpus_per_worker(values["gpus"])
    database = Database(values["database"] or database_url(), POOL)
    wait_for(database, _patience(values), pulse)
    patience = WorkerPatience(pulse)
    files = open_store(patience)
    bind_store(database, files)
    maker, device = values["maker"] or "engine", values["device"] or "auto"
    runner, info = make_runner(maker, device, files, gpus)
    first, *beside = device_names(info["device"], gpus)
    leases = LeaseStore(database, lease_s=values["lease"] or LEASE_S)
    named = {"name": values["name"]} if values["name"] else {}
    worker = Worker(
        leases, runner, files, first, info=info, once=bool(values["once"]),
        parent=values["supervisor"], limit_s=values["job_limit"] or JOB_LIMIT_S, pulse=pulse,
        preload=values["warm"] or os.environ.get("NEWSREEL_WARM") or None,
        kinds=kinds_among(values["kinds"]), patience_s=_patience(values),
        prompts_per_forward=_prompts_per_forward(values), beside=beside, gpus=gpus, **named,
    )  # fmt: skip
    patience.over = worker.is_to_stop
    return worker


def _prompts_per_forward(values: dict[str, Any]) -> int:
    from src.engine.batching.microbatches import clips_per_forward

    told = os.environ.get("NEWSREEL_PROMPTS_PER_FORWARD") or "1"
    if not told.isdecimal():
        raise BadInputError(f"NEWSREEL_PROMPTS_PER_FORWARD is {told!r}; it must be 1 to 64")
    asked = values["prompts_per_forward"]
    return clips_per_forward(int(told) if asked is None else asked)


def _patience(values: dict[str, Any]) -> float:
    return PATIENCE_S if values["patience"] is None else values["patience"]


def _stop_on_signals(worker: "Worker", drain: float) -> None:
    def stop(*_: object) -> None:
        if worker.stopping.is_set():
            worker.giving_back.set()
        worker.stopping.set()
        timer = threading.Timer(drain, worker.giving_back.set)
        timer.daemon = True
        timer.start()

    for number in STOPS:
        signal.signal(number, stop)
