"""Jobs: list, look, follow, cancel, retry, pin, delete."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from src.api.answers import told
from src.api.hub import Hub
from src.api.planning import check_source
from src.api.problems import ApiError, responses
from src.api.schemas import JobList, JobView, view
from src.api.security import Reader, ServiceDep, Submitter, is_known
from src.api.service import Service
from src.jobs.accounts import Account
from src.jobs.model import Job, State
from src.worker.names import preview_file

router = APIRouter(prefix="/jobs", tags=["jobs"])
JobId = Annotated[str, Path(pattern="^[0-9a-f]{21}$", description="The job's id")]
Unknown = responses(401, 403, 404, 422)
Wrong = responses(401, 403, 404, 409, 422)


@router.get("", response_model=JobList, summary="This key's jobs, newest first", responses=responses(401, 403, 422))
def list_jobs(
    service: ServiceDep,
    account: Reader,
    state: Annotated[State | None, Query()] = None,
    before: Annotated[str | None, Query(pattern="^[0-9a-f]{21}$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """An admin's key sees everybody's."""
    jobs = service.store.page(service.visible_to(account), state, before, limit)
    return JobList(jobs=[view(job) for job in jobs], next=jobs[-1].id if len(jobs) == limit else None)


@router.get("/{job_id}", response_model=JobView, summary="One job", responses=Unknown)
def get_job(service: ServiceDep, account: Reader, job_id: JobId) -> JobView:
    return view(service.store.get(job_id, service.visible_to(account)))


@router.delete("/{job_id}", status_code=204, summary="Forget a finished job and remove its files", responses=Wrong)
def delete_job(service: ServiceDep, account: Submitter, job_id: JobId) -> Response:
    service.forgetter.forget(job_id, service.visible_to(account))
    return Response(status_code=204)


@router.post("/{job_id}/cancel", response_model=JobView, summary="Stop a job", responses=Wrong)
def cancel_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    """A waiting job ends at once, a running one within one step."""
    return view(service.store.cancel(job_id, service.visible_to(account)))


@router.post(
    "/{job_id}/retry",
    response_model=JobView,
    summary="Run a failed job again",
    responses=Wrong | responses(429, 503, 507),
)
def retry_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return view(retry(service, account, job_id))


def retry(service: Service, account: Account, job_id: str) -> Job:
    """Put a job that failed or was cancelled back into the queue, if what it reads is there still.
    """
    owner = service.visible_to(account)
    job = service.store.get(job_id, owner)
    check_source(job.request)
    service.admit(account, job.priority)
    return service.store.retry(job_id, owner)


@router.put("/{job_id}/pin", response_model=JobView, summary="Keep a job's clip from retention", responses=Unknown)
def pin_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return view(service.store.pin(job_id, True, service.visible_to(account)))


@router.delete("/{job_id}/pin", response_model=JobView, summary="Let retention have a job's clip", responses=Unknown)
def unpin_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return view(service.store.pin(job_id, False, service.visible_to(account)))


@router.get(
    "/{job_id}/preview", summary="The newest picture of a running job", response_class=FileResponse, responses=Unknown
)
def preview(service: ServiceDep, account: Reader, job_id: JobId) -> Response:
    job = service.store.get(job_id, service.visible_to(account))
    path = preview_file(service.folder, job)
    if not path.is_file() or path.is_symlink():
        raise ApiError(404, "this job has no picture yet")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _last_event(
    last_event_id: Annotated[str, Header(description="The last event received; the stream goes on after it")] = "",
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> int:
    return int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 19 else after


@router.get(
    "/{job_id}/events",
    summary="What happens to a job, as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Until the job's last event"}} | Unknown,
)
async def events(
    request: Request, service: ServiceDep, account: Reader, job_id: JobId, after: Annotated[int, Depends(_last_event)]
) -> StreamingResponse:
    """Kinds: `state`, `progress` (stage, done, total), `preview` (a new picture is there)."""
    await asyncio.to_thread(service.store.get, job_id, service.visible_to(account))
    stream = _as_text(service.hub, job_id, after, lambda: is_known(request, service))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _as_text(hub: Hub, job_id: str, after: int, allowed: Callable[[], bool]) -> AsyncIterator[str]:
    """The stream; without its `end` where the service stops before the job does, so that clients come back.

    It ends too when the key that opened it is revoked.
    """
    async for event in hub.follow(job_id, after):
        if not await asyncio.to_thread(allowed):
            return
        if event is None:
            yield ": still here\n\n"
        else:
            data = json.dumps({"at": event.at} | told(event.data))
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
    if not hub.closing:
        yield "event: end\ndata: {}\n\n"
