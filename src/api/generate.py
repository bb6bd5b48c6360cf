"""POST /generate-video."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from src.accounts.accounts import Account
from src.api.decoding import Turn
from src.api.forms import (
    GENERATE_BODY,
    GenerateFields,
    GenerateForm,
    given_fields,
    group_of,
    priority_from,
    request_from,
)
from src.api.problems import ApiError, responses
from src.api.schemas import Generated, JobView
from src.api.security import ServiceDep, Submitter
from src.api.service import Service
from src.api.uploads import read_upload
from src.artifacts.store import keep
from src.core.addresses import stored_address, stored_key
from src.core.paths import examples, portable
from src.jobs.errors import WrongStateError
from src.jobs.model import OWN_KEYS, REMIX_OF, Job, NewJob, State
from src.jobs.search import JobFilter
from src.media.press_metadata import check_rights

T = TypeVar("T")
router = APIRouter(tags=["generate"])
KEY_LONGEST = 200
RESENT_S = 900.0
"""How long after a submission the same one may be a retry: clients give up on an answer after ten
minutes.
"""
MOST_LATELY = 1000


async def client_key(
    idempotency_key: Annotated[str | None, Header(max_length=KEY_LONGEST)] = None,
) -> str | None:
    """A client's idempotency key; None where there is none. Raises ApiError 400 for one of ours."""
    if idempotency_key is not None and idempotency_key.startswith(OWN_KEYS):
        raise ApiError(
            400, f"an Idempotency-Key does not begin with {OWN_KEYS!r}; such keys are the service's"
        )
    return idempotency_key or None


Key = Annotated[str | None, Depends(client_key)]


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
    key: Key = None,
) -> Response:
    """Waits for the clip and answers 200 with its path, URL and temporal score; with `Prefer:
    respond-async` answers 202 with the job at once. A client that goes away loses nothing: the job
    goes on, `GET /jobs` shows it.
    """
    if "respond-async" in prefer:
        return await submit(
            service, account, form.image, form, key, partial(accepted, service=service)
        )
    job = await submit(service, account, form.image, form, key)
    job = await service.broadcaster.finished(job.id, service.settings.wait)
    return await run_in_threadpool(answer, job, service)


async def submit(
    service: Service, account: Account, image: UploadFile, form: GenerateForm, key: str | None,
    then: Callable[[Job], T] = lambda job: job, resent: bool = False, remix_of: str | None = None,
) -> T:  # fmt: skip
    """Check everything, keep the photograph, store the job; a retry by its idempotency key finds
    the first one's.

    then: what is made of the job, in the thread that stored it; by default the job itself. resent:
    the client says that it sends the same once more: without a key, what it asked for lately counts
    as this. remix_of: the job whose clip this is another one of.
    """
    wanted = await run_in_threadpool(_wanted, service, account, image, form, key, resent, remix_of)
    if isinstance(wanted, Job):
        return await run_in_threadpool(then, wanted)
    async with service.decoding.turn(account.id) as turn:
        return await run_in_threadpool(_decode_and_store, service, account, wanted, turn, then)


def _decode_and_store(
    service: Service, account: Account, wanted: "Admitted", turn: Turn, then: Callable[[Job], T]
) -> T:
    found = turn.wall.check_photograph(wanted.data, "image")
    turn.done()
    check_rights(found.press, wanted.new.request.get("rights_reason"))
    return then(_store(service, account, wanted, f"{found.sha256}{found.suffix}"))


@dataclass(frozen=True)
class Admitted:
    """A request that was admitted: the job but for its photograph, and that one's bytes."""

    new: NewJob
    data: bytes


def _wanted(
    service: Service, account: Account, image: UploadFile, form: GenerateForm, key: str | None,
    resent: bool, remix_of: str | None,
) -> "Admitted | Job":  # fmt: skip
    """Judge the form, then look whether this is a retry, then whether the account may submit."""
    asked, priority = request_from(form), priority_from(form)
    request = asked.model_dump(mode="json", include=given_fields(form))
    request |= {REMIX_OF: remix_of} if remix_of else {}
    data = read_upload(image)
    new = NewJob("generate", account.id, request, group_of(request), priority, key)
    if key is not None and (job := _earlier(service, new, data)) is not None:
        return job
    if key is None and resent and (job := _lately(service, new, data)) is not None:
        return job
    new = replace(new, cost=service.planning.generate(asked))
    service.admit(account, priority)
    return Admitted(new, data)


def _earlier(service: Service, new: NewJob, data: bytes) -> Job | None:
    """The job that this idempotency key made from the same form and photograph: it counts against
    no limit.

    Raises WrongStateError where it was made from others.
    """
    job = service.store.with_key(new.owner, str(new.idempotency_key))
    if job is None:
        return None
    if not _asks_the_same(job, new, hashlib.sha256(data).hexdigest()):
        raise WrongStateError(
            f"idempotency key {new.idempotency_key!r} was used for another request"
        )
    return job


def _lately(service: Service, new: NewJob, data: bytes) -> Job | None:
    """The newest job that this owner submitted lately with the same form and photograph."""
    digest = hashlib.sha256(data).hexdigest()
    return lately(service, new, lambda job: _asks_the_same(job, new, digest))


def lately(service: Service, new: NewJob, is_same: Callable[[Job], bool]) -> Job | None:
    """The newest job that this owner submitted lately and that is the same."""
    wanted = JobFilter(new.owner, since=service.store.clock() - RESENT_S, kind=new.kind)
    return next((job for job in service.store.find(wanted, MOST_LATELY) if is_same(job)), None)


def _asks_the_same(job: Job, new: NewJob, digest: str) -> bool:
    """digest: SHA-256 of the new one's photograph."""
    same = job.kind == new.kind and PurePath(str(job.source)).stem == digest
    return same and without_source(job.request) == new.request


def without_source(request: dict[str, Any]) -> dict[str, Any]:
    """A stored request but for where its photograph lies."""
    return {name: value for name, value in request.items() if name != "input_image"}


def _store(service: Service, account: Account, wanted: Admitted, name: str) -> Job:
    """Keep the photograph, store the job, and look whether the photograph is there still: a job
    that named it may have been deleted meanwhile.
    """
    files, key, digest = service.files, stored_key(name), name.partition(".")[0]
    keep(files, key, wanted.data, digest)
    request = wanted.new.request | {"input_image": stored_address(name)}
    try:
        job = service.submit(
            replace(wanted.new, request=request, input_bytes=len(wanted.data)), account
        )
    except BaseException:
        service.forgetter.drop(key)
        raise
    if files.look(key) is None:
        keep(files, key, wanted.data, digest)
    return job


def answer(job: Job, service: Service) -> Response:
    """200 with the clip, 202 while it is made, or the problem that the job ended with."""
    if job.state is State.COMPLETED:
        return JSONResponse(finished_clip(job, service).model_dump(mode="json"))
    if job.state is State.CANCELLED:
        raise ApiError(409, f"job {job.id} was cancelled")
    if job.state is State.FAILED:
        error: dict[str, Any] = job.error or {}
        raise ApiError(error.get("status", 500), error.get("detail", "the job failed"))
    return accepted(job, service)


def accepted(job: Job, service: Service) -> Response:
    """202 with the job as it is now."""
    return JSONResponse(
        service.show(job).model_dump(mode="json"), 202, {"Location": f"/jobs/{job.id}"}
    )


def finished_clip(job: Job, service: Service) -> Generated:
    """The answer to a completed job."""
    report = (job.result or {}).get("report") or {}
    path = portable(examples() / str(job.artifact))
    url, shown = f"/artifacts/{job.artifact}", service.show(job)
    return Generated(path=path, url=url, temporal_score=report.get("score"), job=shown)
