"""Is it alive, is it ready, and the figures for Prometheus."""

import time
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Response
from pydantic import BaseModel

import src
from src.api.problems import ApiError, responses
from src.api.security import Admin, ServiceDep
from src.api.service import Service
from src.database.trouble import UnavailableError
from src.trust.settings import MARKING, is_switched_on, signing_state

router = APIRouter(tags=["health"])
DAY_S = 86400.0


class Model(BaseModel):
    """What a plain request runs on. weights: SHA-256 of the transformer's, 12 digits. width,
    height: native pixels.
    """

    name: str
    revision: str | None
    weights: str
    width: int
    height: int
    frames: int
    fps: float


class Health(BaseModel):
    """status: "ok", "draining" on the way out, or "no database", "database locked", "database
    read-only", "database damaged" while it cannot be used (then nothing may be known of workers and
    queue).

    pipeline: "ready", "starting", "failing" (a worker says what it lacks) or "absent" (no worker).
    device, model, warm (the mode that is loaded): None until a worker tells. gpus: the most devices
    that a clip may take, on a CPU processes. silent: workers that
    have told nothing for a lease. signing, watermark: what becomes of every clip: "on", "off", or
    "off" and why.
    """

    status: str
    version: str
    device: str | None
    gpus: int | None
    pipeline: str
    model: Model | None
    warm: str | None
    queue: dict[str, int]
    silent: list[str]
    signing: str
    watermark: str
    uptime_s: float


class Readiness(BaseModel):
    """warm: the mode that is loaded; None: the first job loads it."""

    status: str = "ready"
    warm: str | None


@router.get("/health", response_model=Health, summary="Alive, and what it runs on")
async def health(service: ServiceDep) -> Health:
    """Answers 200 while the process lives. Needs no key and tells nothing of any job."""
    try:
        return await to_thread.run_sync(_look, service, limiter=service.lookout)
    except UnavailableError as error:
        return _health(service, _named(error), [], {})


def _named(error: UnavailableError) -> str:
    return "no database" if error.kind == "away" else f"database {error.kind}"


def _look(service: Service) -> Health:
    queue, workers = service.store.counts(), service.leases.known_workers()
    trouble = service.database.trouble
    status = _named(trouble) if trouble else "draining" if service.draining else "ok"
    return _health(service, status, workers, queue)


def _health(
    service: Service, status: str, workers: list[dict[str, Any]], queue: dict[str, int]
) -> Health:
    fresh = _fresh(service, workers)
    info = fresh[0]["info"] if fresh else {}
    return Health(
        status=status, version=src.__version__, device=info.get("name"), gpus=_most_gpus(fresh),
        pipeline=_pipeline(service, fresh), model=info.get("model"), warm=info.get("warm"),
        queue=queue, silent=_silent(service, workers),
        signing=signing_state(), watermark="on" if is_switched_on(MARKING) else "off",
        uptime_s=round(time.time() - service.started_at, 1),
    )  # fmt: skip


@router.get("/ready", summary="Takes jobs, and has a worker for them", responses=responses(503))
def ready(service: ServiceDep) -> Readiness:
    """200 once a worker has loaded what `NEWSREEL_WARM` names; 503 once none has told anything for
    a lease.
    """
    workers = _fresh(service, service.leases.known_workers())
    state = _pipeline(service, workers)
    if service.draining or state != "ready":
        raise ApiError(
            503, f"not ready: {'draining' if service.draining else _why(state, workers)}"
        )
    if service.database.trouble is not None:
        raise ApiError(503, f"not ready: {service.database.trouble}")
    return Readiness(warm=workers[0]["info"].get("warm"))


def _most_gpus(workers: list[dict[str, Any]]) -> int | None:
    """That one of them holds; None where none has told, as those of older versions."""
    return max((worker["info"].get("gpus", 1) for worker in workers), default=None)


def _why(state: str, workers: list[dict[str, Any]]) -> str:
    return str(workers[0]["info"]["trouble"]) if state == "failing" else f"the pipeline is {state}"


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    responses=responses(401, 403),
    response_class=Response,
)
def metrics(service: ServiceDep, account: Admin) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _fresh(service: Service, workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Workers that told something within a lease, the ablest first."""
    found = [worker for worker in workers if worker["silent_s"] < service.settings.lease]
    return sorted(found, key=lambda worker: (_lacks(worker), not _is_warm(worker)))


def _silent(service: Service, workers: list[dict[str, Any]]) -> list[str]:
    """Workers that told nothing for a lease, and are not known to be gone."""
    return sorted(
        worker["worker"]
        for worker in workers
        if service.settings.lease <= worker["silent_s"] < DAY_S
    )


def _pipeline(service: Service, workers: list[dict[str, Any]]) -> str:
    if any(_is_warm(worker) and not _lacks(worker) for worker in workers):
        return "ready"
    if workers and all(_lacks(worker) for worker in workers):
        return "failing"
    return "starting" if workers or service.settings.workers else "absent"


def _is_warm(worker: dict[str, Any]) -> bool:
    """Has it loaded what it was told to load?"""
    return worker["info"].get("warm") == worker["info"].get("preload")


def _lacks(worker: dict[str, Any]) -> bool:
    """Does it say that something is missing?"""
    return bool(worker["info"].get("trouble"))
