"""Pictures that stand for a job: its photograph, and the best one that there is of its clip."""

import io
from functools import partial

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.jobs import JobId
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.api.serving import published_path, serve
from src.artifacts.store import ArtifactStore
from src.core.addresses import clip_key, known_key
from src.core.errors import BadInputError, MissingFileError
from src.jobs.model import Job
from src.jobs.rows import address_in
from src.worker.names import picture_key, preview_key
from src.worker.wall import Wall

router = APIRouter(prefix="/jobs", tags=["jobs"])
ERRORS = responses(401, 403, 404, 422)
KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of pictures that never change."""
CHANGING = {"Cache-Control": "private, no-cache"}


@router.get(
    "/{job_id}/photograph", summary="The photograph of a job, small", response_class=FileResponse,
    responses=ERRORS,
)  # fmt: skip
async def photograph(service: ServiceDep, account: Reader, job_id: JobId) -> Response:
    """A JPEG of at most 960 pixels a side, upright."""
    job = await run_in_threadpool(service.store.get, job_id, service.visible_to(account))
    key = await _made(service, account, job, "photograph")
    if key is None:
        raise ApiError(404, "the photograph of this job is not stored any more")
    return await run_in_threadpool(serve, service.files, key, "image/jpeg", KEPT)


@router.get(
    "/{job_id}/picture", summary="The picture that stands for a job", response_class=FileResponse,
    responses=ERRORS, name="picture",
)  # fmt: skip
async def job_picture(service: ServiceDep, account: Reader, job_id: JobId) -> Response:
    """A frame of its clip; before there is one, the newest picture of its making, else its
    photograph. A JPEG of at most 960 pixels a side.
    """
    job = await run_in_threadpool(service.store.get, job_id, service.visible_to(account))
    key = await _best(service, account, job)
    if key is None:
        raise ApiError(404, "there is no picture of this job")
    told = await run_in_threadpool(service.releasing.picture_headers, job.artifact, CHANGING)
    return await run_in_threadpool(partial(serve, service.files, key, "image/jpeg", **told))


async def _best(service: Service, account: Account, job: Job) -> str | None:
    if job.artifact and (found := await _made(service, account, job, "poster")) is not None:
        return found
    preview = preview_key(job)
    if not job.state.final and service.files.look(preview) is not None:
        return preview
    return await _made(service, account, job, "photograph")


async def _made(service: Service, account: Account, job: Job, what: str) -> str | None:
    """The key of the small picture, made on the first call; None where there is nothing to make it
    of.
    """
    key = picture_key(job, what)
    if service.files.look(key) is not None:
        return key
    source = _source(job, what)
    if source is None:
        return None
    found = await run_in_threadpool(service.index.find, source)
    version = found[0].version if found else None
    async with service.decoding.turn(account.id) as turn:
        return await run_in_threadpool(_make, turn.wall, service.files, source, version, key)


def _source(job: Job, what: str) -> str | None:
    """What the picture is made of. An enlargement has no photograph: its video stands for it."""
    return clip_key(str(job.artifact)) if what == "poster" else known_key(address_in(job.request))


def _make(
    wall: Wall, files: ArtifactStore, source: str, version: str | None, key: str
) -> str | None:
    """None where the file is gone or cannot be decoded. version: that was published."""
    try:
        with published_path(files, source, version) as path:
            is_video = path.suffix in (".mp4", ".mkv", ".video")
            data = wall.small_frame(path) if is_video else wall.small_photograph(path)
    except (BadInputError, MissingFileError):
        return None
    files.put(key, io.BytesIO(data), durable=False)
    return key
