"""Pictures that stand for a job: its photograph, and the best one that there is of its clip."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.jobs import JobId
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.artifacts.addresses import found
from src.core.durable import write_whole
from src.core.errors import BadInputError, MissingFileError
from src.jobs.model import Job
from src.jobs.store import address_in
from src.worker.names import picture_file, preview_file
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
    path = await _made(service, account, job, "photograph")
    if path is None:
        raise ApiError(404, "the photograph of this job is not stored any more")
    return FileResponse(path, media_type="image/jpeg", headers=KEPT)


@router.get(
    "/{job_id}/picture", summary="The picture that stands for a job", response_class=FileResponse,
    responses=ERRORS,
)  # fmt: skip
async def picture(service: ServiceDep, account: Reader, job_id: JobId) -> Response:
    """A frame of its clip; before there is one, the newest picture of its making, else its
    photograph. A JPEG of at most 960 pixels a side.
    """
    job = await run_in_threadpool(service.store.get, job_id, service.visible_to(account))
    path = await _best(service, account, job)
    if path is None:
        raise ApiError(404, "there is no picture of this job")
    return FileResponse(path, media_type="image/jpeg", headers=CHANGING)


async def _best(service: Service, account: Account, job: Job) -> Path | None:
    if job.artifact and (found := await _made(service, account, job, "poster")) is not None:
        return found
    preview = preview_file(service.folder, job)
    if not job.state.final and preview.is_file() and not preview.is_symlink():
        return preview
    return await _made(service, account, job, "photograph")


async def _made(service: Service, account: Account, job: Job, what: str) -> Path | None:
    """The small picture, made on the first call; None where there is nothing to make it of."""
    path = picture_file(service.folder, job, what)
    if path.is_file() and not path.is_symlink():
        return path
    source = _source(service, job, what)
    if source is None:
        return None
    async with service.decoding.turn(account.id) as turn:
        return await run_in_threadpool(_make, turn.wall, source, path)


def _source(service: Service, job: Job, what: str) -> Path | None:
    """What the picture is made of. An enlargement has no photograph: its video stands for it."""
    if what == "poster":
        return service.folder / str(job.artifact)
    return found(address_in(job.request))


def _make(wall: Wall, source: Path, path: Path) -> Path | None:
    """None where the file is gone or cannot be decoded."""
    if not source.is_file():
        return None
    is_video = source.suffix in (".mp4", ".mkv", ".video")
    try:
        data = wall.small_frame(source) if is_video else wall.small_photograph(source)
    except (BadInputError, MissingFileError):
        return None
    write_whole(path, data, synced=False)
    return path
