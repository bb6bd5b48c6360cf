"""Is it alive, is it ready, and the figures for Prometheus."""

import time
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

import src
from src.api.problems import ApiError, responses
from src.api.security import Admin, ServiceDep
from src.api.service import Service

router = APIRouter(tags=["health"])
FRESH_S = 120.0


class Model(BaseModel):
    """What a plain request runs on. weights: SHA-256 of the transformer's, 12 digits. width, height: native pixels."""

    name: str
    revision: str | None
    weights: str
    width: int
    height: int
    frames: int
    fps: float


class Health(BaseModel):
    """status: "ok", "draining" on the way out, or "no database" while that cannot be reached (then nothing is known of
    workers and queue). pipeline: "ready", "starting" or "absent" (no worker).

    device, model, warm (the mode that is loaded): None until a worker tells.
    """

    status: str
    version: str
    device: str | None
    pipeline: str
    model: Model | None
    warm: str | None
    queue: dict[str, int]
    uptime_s: float


class Ready(BaseModel):
    """warm: the mode that is loaded; None: the first job loads it."""

    status: str = "ready"
    warm: str | None


@router.get("/health", response_model=Health, summary="Alive, and what it runs on")
async def health(service: ServiceDep) -> Health:
    """Answers 200 while the process lives. Needs no key and tells nothing of any job."""
    try:
        return await to_thread.run_sync(_look, service, limiter=service.lookout)
    except OperationalError:
        return _health(service, "no database", [], {})


def _look(service: Service) -> Health:
    return _health(service, "draining" if service.draining else "ok", _fresh(service), service.store.counts())


def _health(service: Service, status: str, workers: list[dict[str, Any]], queue: dict[str, int]) -> Health:
    info = workers[0]["info"] if workers else {}
    return Health(
        status=status, version=src.__version__, device=info.get("name"), pipeline=_pipeline(service, workers),
        model=info.get("model"), warm=info.get("warm"), queue=queue,
        uptime_s=round(time.time() - service.started_at, 1),
    )  # fmt: skip


@router.get("/ready", summary="Takes jobs, and has a worker for them", responses=responses(503))
def ready(service: ServiceDep) -> Ready:
    """200 once a worker has loaded what `NEWSREEL_WARM` names."""
    workers = _fresh(service)
    state = _pipeline(service, workers)
    if service.draining or state != "ready":
        raise ApiError(503, f"not ready: {'draining' if service.draining else f'the pipeline is {state}'}")
    return Ready(warm=workers[0]["info"].get("warm"))


@router.get("/metrics", summary="Figures for Prometheus", responses=responses(401, 403), response_class=Response)
def metrics(service: ServiceDep, account: Admin) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _fresh(service: Service) -> list[dict[str, Any]]:
    now = time.time()
    found = [worker for worker in service.leases.known_workers() if worker["seen_at"] > now - FRESH_S]
    return sorted(found, key=lambda worker: not _is_warm(worker))


def _pipeline(service: Service, workers: list[dict[str, Any]]) -> str:
    if any(_is_warm(worker) for worker in workers):
        return "ready"
    return "starting" if workers or service.settings.workers else "absent"


def _is_warm(worker: dict[str, Any]) -> bool:
    """Has it loaded what it was told to load?"""
    return worker["info"].get("warm") == worker["info"].get("preload")
