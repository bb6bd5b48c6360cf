"""The application: stores, supervisor, housekeeping, routes."""

import asyncio
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from loguru import logger
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection

import src
from src.accounts.accounts import Accounts
from src.api import (
    approvals,
    artifacts,
    check_page,
    clip,
    generate,
    health,
    jobs,
    login,
    notices,
    notices_page,
    page,
    pictures,
    problems,
    reference,
    releases,
    stream,
    upscale,
    verify,
)
from src.api.broadcaster import EventBroadcaster
from src.api.housekeeper import Housekeeper
from src.api.metrics import ServiceMetrics
from src.api.middleware import RequestMiddleware
from src.api.notifying import Notifying
from src.api.openai import content as openai_content
from src.api.openai import description as openai_description
from src.api.origins import names
from src.api.reaper import PermitReaper
from src.api.releasing import Releasing
from src.api.security import is_known
from src.api.service import Service
from src.api.settings import ServiceSettings, read_settings
from src.api.site import problem_page
from src.artifacts.registry import bind_store, open_store
from src.artifacts.store import ArtifactStore
from src.broker.permits import BrokerPermits, open_permits
from src.console.error_tracking import track_errors
from src.console.logs import setup_logs
from src.console.tracing import start_tracing
from src.core.interrupts import STOPS
from src.core.paths import home
from src.database.database import Database
from src.database.house import occupy
from src.jobs.leases import LeaseStore
from src.jobs.store import JobStore
from src.trust.settings import MARKING, SIGNING, is_switched_on, signing_state
from src.worker.supervise import Supervisor

ABOUT = """One photograph and a prompt become a six-second clip. Every request is a durable
job: it survives restarts of the service and of its workers. Authenticate
with `Authorization: Bearer KEY`."""


ROOMS = (generate, stream, jobs, pictures, artifacts, releases, upscale, verify, health, login,
         page, clip, notices, notices_page, approvals, check_page, reference)  # fmt: skip
ROUTER = APIRouter()
"""Every application's routes: FastAPI works out what a route takes and gives, for which all of them
need a second, when it is first asked for, and keeps it here for as long as the process. One
application's `dependency_overrides` are not asked.
"""
for room in ROOMS:
    ROUTER.include_router(room.router)
ROUTER.include_router(openai_description.router)
ROUTER.include_router(openai_content.router, include_in_schema=False)

CROSS_ORIGIN = {
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": [
        "Authorization",
        "X-API-Key",
        "Idempotency-Key",
        "Prefer",
        "Last-Event-ID",
        "Range",
    ],
    "expose_headers": ["Location", "Retry-After", "X-Request-Id", "Content-Range", "ETag"],
}
"""What pages of known origins may send and read; never cookies."""


def create_app(
    settings: ServiceSettings | None = None, files: ArtifactStore | None = None
) -> FastAPI:
    """The ASGI application. settings: None reads the environment when the application starts.
    files: another store than the home's.
    """
    setup_logs()
    track_errors()
    start_tracing("api")
    settings = settings or read_settings()
    # src/api/reference.py has them
    closed = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = FastAPI(
        title="Newsreel", version=src.__version__, description=ABOUT, lifespan=_life,
        routes=ROUTER.routes, **closed,
    )  # fmt: skip
    app.state.settings = settings
    app.state.service = make_service(settings, files or open_store())
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    problems.install_handlers(app)
    if origins := names(settings.origins):
        app.add_middleware(CORSMiddleware, allow_origins=sorted(origins), **CROSS_ORIGIN)
    app.add_middleware(
        RequestMiddleware, limit=settings.max_upload, observe=_observer(app.state.service.metrics),
        known=lambda scope: is_known(HTTPConnection(scope), app.state.service),
        origins=app.state.service.origins, page=problem_page, links=app.state.service.files.origin,
    )  # fmt: skip
    return app


def make_service(settings: ServiceSettings, files: ArtifactStore) -> Service:
    """Everything that the routes need, on a database of this version."""
    database = Database(settings.database)
    database.migrate()
    bind_store(database, files)
    store, leases = JobStore(database), LeaseStore(database, lease_s=settings.lease)
    arguments = ["--maker", settings.maker, "--device", settings.device,
                 "--lease", str(settings.lease), "--drain", str(settings.drain),
                 "--job-limit", str(settings.job_limit), "--stall",
                 str(settings.stall)]  # fmt: skip
    arguments += ["--warm", settings.warm] if settings.warm else []
    arguments += ["--broker"] if settings.broker else []
    accounts, permits = Accounts(database), open_permits(settings.broker)
    return Service(
        settings=settings,
        database=database,
        files=files,
        store=store,
        leases=leases,
        accounts=accounts,
        notifying=Notifying(settings, database, accounts),
        releasing=Releasing(settings, database, files, accounts),
        broadcaster=EventBroadcaster(store),
        metrics=ServiceMetrics(store, leases, files, permits),
        supervisor=Supervisor(
            leases,
            arguments,
            settings.workers,
            settings.drain,
            settings.gpus_per_worker,
            on_cards=settings.maker == "engine" and settings.device != "cpu",
        ),
        permits=permits,
    )


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Recover, start, serve; then drain. Also where a start fails, what was started before it is
    stopped.
    """
    service: Service = app.state.service
    greet(service)
    say_what_is_marked()
    housekeeper = Housekeeper(service.settings, service.store, service.leases, service.files)
    async with AsyncExitStack() as started:
        started.enter_context(occupy(home()))
        started.callback(service.database.engine.dispose)
        started.callback(service.decoding.wall.close)
        await asyncio.to_thread(_put_in_order, service, housekeeper)
        if isinstance(service.permits, BrokerPermits):
            reaper = PermitReaper(service.store, service.permits)
            await _begin(started, reaper.start, reaper.stop)
        await _begin(started, service.supervisor.start, service.supervisor.stop)
        await _begin(started, housekeeper.start, housekeeper.stop)
        await _begin(started, service.notifying.postman.start, service.notifying.postman.stop)
        await service.broadcaster.start()
        started.push_async_callback(service.broadcaster.stop)
        started.callback(_say_that_it_stops, service)
        _drain_on_signals(service)
        started.callback(gc.unfreeze)
        started.push_async_callback(_cancelled, asyncio.create_task(_warm_up(service)))
        yield


async def _warm_up(service: Service) -> None:
    """What the first requests would wait for. Garbage is not looked for again among what was loaded
    so far: a full collection would hold everybody up for 50 ms. Threads that store jobs let the one
    that answers go on after a millisecond, not after Python's five.
    """
    await asyncio.to_thread(importlib.import_module, "src.engine.admission")
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    await service.decoding.start()


async def _cancelled(task: asyncio.Task) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _put_in_order(service: Service, housekeeper: Housekeeper) -> None:
    """Before any worker writes: after a restore, new attempts may have the names of clips that are
    there already.
    """
    service.supervisor.recover()
    service.leases.expire()
    service.notifying.sync()
    service.releasing.recording.settings(service.settings.told())
    housekeeper.tidy()


def _say_that_it_stops(service: Service) -> None:
    service.draining = True
    logger.info("stopping: running jobs have {:.0f} s to end; told again, they are given back now",
                service.settings.drain)  # fmt: skip


async def _begin(
    started: AsyncExitStack, start: Callable[[], None], stop: Callable[[], None]
) -> None:
    """Start in a thread; what started is stopped in the opposite order."""
    await asyncio.to_thread(start)
    started.push_async_callback(asyncio.to_thread, stop)


def _drain_on_signals(service: Service) -> None:
    """Before uvicorn's own handlers: it waits for open connections, and clients that follow a job
    would hold it up.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in STOPS:
        signal.signal(number, _then(signal.getsignal(number), lambda: _drain(service, loop)))


def _then(handler: Any, first: Callable[[], None]) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        first()
        if callable(handler):
            handler(number, frame)

    return handle


def _drain(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    if service.draining:
        service.supervisor.hurry()
    service.draining = True
    loop.call_soon_threadsafe(service.broadcaster.close)


def greet(service: Service) -> None:
    """The first key, printed once; or the warning of an open service."""
    settings = service.settings
    if settings.auth == "off":
        logger.warning(
            "NEWSREEL_AUTH=off: everybody who reaches this port may use the service and see all "
            "jobs"
        )
    elif made := service.accounts.create_first(settings.per_minute, settings.per_day):
        secret, account = made
        print(
            f"Newsreel: the first API key (admin, id {account.id}), shown this once:\n\n    "
            f"{secret}\n",
            flush=True,
        )


def say_what_is_marked() -> None:
    """A line where clips leave without a signature or a mark; raises BadInputError for a setting
    that is neither on nor off.
    """
    if (state := signing_state()) != "on":
        logger.warning(f"clips are not signed; {SIGNING} is {state}")
    if not is_switched_on(MARKING):
        logger.warning(f"clips get no watermark; {MARKING} is off")


def _observer(metrics: ServiceMetrics) -> "object":
    def observe(method: str, status: int, seconds: float) -> None:
        metrics.requests.labels(method if method in METHODS else "other", str(status)).observe(
            seconds
        )

    return observe


SWITCH_S = 0.001
METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"}
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
