"""Jobs: list, look, cancel, retry, pin, delete. How they are followed: src/api/stream.py."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.derived import full_clip
from src.api.planning import check_source
from src.api.problems import ApiError, responses
from src.api.schemas import JobList, JobView
from src.api.security import Reader, ServiceDep, Submitter
from src.api.service import Service
from src.api.serving import serve
from src.jobs.model import Job, State
from src.jobs.search import JobFilter
from src.worker.names import preview_key

router = APIRouter(prefix="/jobs", tags=["jobs"])
JobId = Annotated[str, Path(pattern="^[0-9a-f]{21}$", description="The job's id")]
Unknown = responses(401, 403, 404, 422)
Wrong = responses(401, 403, 404, 409, 422)


@router.get(
    "",
    response_model=JobList,
    summary="This key's jobs, newest first",
    responses=responses(401, 403, 422),
)
def list_jobs(
    service: ServiceDep,
    account: Reader,
    state: Annotated[State | None, Query()] = None,
    before: Annotated[str | None, Query(pattern="^[0-9a-f]{21}$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    q: Annotated[
        str, Query(max_length=200, description="Words that all occur in what was asked")
    ] = "",
    since: Annotated[
        float | None, Query(ge=0, le=1e11, description="Submitted then or later, epoch seconds")
    ] = None,
    until: Annotated[
        float | None, Query(ge=0, le=1e11, description="Submitted before then, epoch seconds")
    ] = None,
) -> JobList:
    """Its desk's jobs too, where the key is at one; an admin's key sees everybody's."""
    wanted = JobFilter(service.visible_to(account), state, before, q, since, until)
    jobs = service.store.find(wanted, limit)
    return JobList(
        jobs=[service.show(job) for job in jobs], next=jobs[-1].id if len(jobs) == limit else None
    )


@router.get("/{job_id}", response_model=JobView, summary="One job", responses=Unknown)
def get_job(service: ServiceDep, account: Reader, job_id: JobId) -> JobView:
    return service.show(service.store.get(job_id, service.visible_to(account)))


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Forget a finished job and remove its files",
    responses=Wrong,
)
def delete_job(service: ServiceDep, account: Submitter, job_id: JobId) -> Response:
    service.forgetter.forget(service.own(account, job_id).id, account.id)
    return Response(status_code=204)


@router.post("/{job_id}/cancel", response_model=JobView, summary="Stop a job", responses=Wrong)
def cancel_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    """A waiting job ends at once, a running one within one step."""
    return service.show(service.store.cancel(service.own(account, job_id).id))


@router.post(
    "/{job_id}/retry",
    response_model=JobView,
    summary="Run a failed job again",
    responses=Wrong | responses(429, 503, 507),
)
def retry_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return service.show(retry(service, account, job_id))


@router.post(
    "/{job_id}/full",
    response_model=JobView,
    summary="Make the full clip of a draft",
    responses=Wrong | responses(429, 503, 507),
)
def full_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    """The draft's request without `draft`, at its seed; asked again it is the same job."""
    return service.show(full_clip(service, account, service.own(account, job_id)))


def retry(service: Service, account: Account, job_id: str) -> Job:
    """Put a job that failed or was cancelled back into the queue,
    if what it reads is there still.
    """
    job = service.own(account, job_id)
    check_source(service.files, job.request)
    service.admit(account, job.priority)
    return service.retry(job.id)


@router.put(
    "/{job_id}/pin",
    response_model=JobView,
    summary="Keep a job's clip from retention",
    responses=Unknown,
)
def pin_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return service.show(service.store.pin(service.own(account, job_id).id, True))


@router.delete(
    "/{job_id}/pin",
    response_model=JobView,
    summary="Let retention have a job's clip",
    responses=Unknown,
)
def unpin_job(service: ServiceDep, account: Submitter, job_id: JobId) -> JobView:
    return service.show(service.store.pin(service.own(account, job_id).id, False))


@router.get(
    "/{job_id}/preview",
    summary="The newest picture of a running job",
    response_class=FileResponse,
    responses=Unknown,
)
def preview(service: ServiceDep, account: Reader, job_id: JobId) -> Response:
    job = service.store.get(job_id, service.visible_to(account))
    key = preview_key(job)
    if service.files.look(key) is None:
        raise ApiError(404, "this job has no picture yet")
    return serve(service.files, key, "image/jpeg", {"Cache-Control": "no-store"})
