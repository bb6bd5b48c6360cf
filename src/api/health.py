"""Is it alive, is it ready, and the figures for Prometheus."""

import time
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

import src
from src.api.problems import ApiError, responses
from src.api.security import Admin, ServiceDep
from src.api.service import Service

router = APIRouter(tags=["health"])
FRESH_S = 120.0


class Health(BaseModel):
    """status: "ok", or "draining" on the way out. pipeline: "ready", "starting" or "absent" (no worker)."""

    status: str
    version: str
    device: str | None
    pipeline: str
    model: dict[str, Any]
    queue: dict[str, int]
    uptime_s: float


@router.get("/health", response_model=Health, summary="Alive, and what it runs on")
def health(service: ServiceDep) -> Health:
    """Answers 200 while the process lives. Needs no key and tells nothing of any job."""
    workers = _fresh(service)
    info = workers[0]["info"] if workers else {}
    return Health(
        status="draining" if service.draining else "ok", version=src.__version__, device=info.get("name"),
        pipeline=_pipeline(service, workers), model=info.get("model") or {}, queue=service.store.counts(),
        uptime_s=round(time.time() - service.started_at, 1),
    )  # fmt: skip


@router.get("/ready", summary="Takes jobs, and has a worker for them", responses=responses(503))
def ready(service: ServiceDep) -> dict[str, str]:
    state = _pipeline(service, _fresh(service))
    if service.draining or state != "ready":
        raise ApiError(503, f"not ready: {'draining' if service.draining else f'the pipeline is {state}'}")
    return {"status": "ready"}


@router.get("/metrics", summary="Figures for Prometheus", responses=responses(401, 403), response_class=Response)
def metrics(service: ServiceDep, account: Admin) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _fresh(service: Service) -> list[dict[str, Any]]:
    now = time.time()
    return [worker for worker in service.leases.known_workers() if worker["seen_at"] > now - FRESH_S]


def _pipeline(service: Service, workers: list[dict[str, Any]]) -> str:
    if workers:
        return "ready"
    return "starting" if service.settings.workers else "absent"
