"""POST /generate-video."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from src.api.forms import GENERATE_BODY, GenerateFields, GenerateForm, group_of, priority_from, request_from
from src.api.problems import ApiError, responses
from src.api.schemas import Generated, JobView, view
from src.api.security import ServiceDep, Submitter
from src.api.service import Service
from src.api.uploads import keep_photograph
from src.core.paths import portable
from src.jobs.accounts import Account
from src.jobs.model import Job, NewJob, State

router = APIRouter(tags=["generate"])
KEY_LONGEST = 200


@router.post(
    "/generate-video",
    summary="Make a clip from a photograph and a prompt",
    response_model=Generated,
    openapi_extra=GENERATE_BODY,
    responses={202: {"model": JobView, "description": "Accepted: the job goes on"}}
    | responses(400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 507),
)
async def generate_video(
    service: ServiceDep,
    account: Submitter,
    form: GenerateFields,
    prefer: Annotated[str, Header(description="respond-async answers 202 at once")] = "",
    idempotency_key: Annotated[str | None, Header(max_length=KEY_LONGEST)] = None,
) -> Response:
    """Waits for the clip and answers 200 with its path, URL and temporal score; with `Prefer: respond-async` answers
    202 with the job at once. A client that goes away loses nothing: the job goes on, `GET /jobs` shows it.
    """
    job = await run_in_threadpool(submit, service, account, form.image, form, idempotency_key)
    if "respond-async" in prefer:
        return accepted(job)
    return answer(await service.hub.finished(job.id, service.settings.wait), service)


def submit(service: Service, account: Account, image: UploadFile, form: GenerateForm, key: str | None) -> Job:
    """Check everything, keep the photograph, store the job."""
    request, priority = request_from(form), priority_from(form)
    service.admit(account)
    request["input_image"] = str(keep_photograph(image))
    new = NewJob("generate", account.id, request, group_of(request), priority, key or None)
    return service.submit(new, account)


def answer(job: Job, service: Service) -> Response:
    """200 with the clip, 202 while it is made, or the problem that the job ended with."""
    if job.state is State.COMPLETED:
        return JSONResponse(finished(job, service).model_dump(mode="json"))
    if job.state is State.CANCELLED:
        raise ApiError(409, f"job {job.id} was cancelled")
    if job.state is State.FAILED:
        error: dict[str, Any] = job.error or {}
        raise ApiError(error.get("status", 500), error.get("detail", "the job failed"))
    return accepted(job)


def accepted(job: Job) -> Response:
    """202 with the job as it is now."""
    return JSONResponse(view(job).model_dump(mode="json"), 202, {"Location": f"/jobs/{job.id}"})


def finished(job: Job, service: Service) -> Generated:
    """The answer to a completed job."""
    report = (job.result or {}).get("report") or {}
    path = portable(service.folder / str(job.artifact))
    return Generated(path=path, url=f"/artifacts/{job.artifact}", temporal_score=report.get("score"), job=view(job))
