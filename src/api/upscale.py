"""Upscaling: upload, status, progress, download, cancel; the same jobs underneath."""

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Path, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, create_model

from src.accounts.accounts import Account
from src.api.answers import jsonable
from src.api.artifacts import find_artifact
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep, Submitter
from src.api.service import Service
from src.api.uploads import UploadedVideo, parse_json_field
from src.catalog.upscalers import NOISY, find_preset, find_upscaler
from src.core.addresses import stored_address, stored_key
from src.core.config import Config, validate
from src.core.upscale_request import FORM, UPSCALER, EnhanceSettings, UpscaleRequest, from_form
from src.jobs.model import Job, NewJob, State
from src.media.videos import VideoFacts
from src.upscaling.backends import UpscalerChoice

router = APIRouter(prefix="/api", tags=["upscale"])
TaskId = Annotated[str, Path(pattern="^[0-9a-f]{21}$", description="The task's id")]
Unknown = responses(401, 403, 404, 422)


Quality = Annotated[
    str,
    Field(max_length=100, description="fast, balanced or quality; ID/PRESET for another upscaler."),
]


def _field(name: str) -> tuple[Any, Any]:
    if name == "preset":
        return Quality, find_upscaler(UPSCALER).usual
    info = UpscaleRequest.model_fields[name]
    return info.annotation, info


UpscaleSettings = create_model(
    "UpscaleSettings",
    __base__=Config,
    __doc__=(
        "The `settings` field: what of an `UpscaleRequest` a client may say, by the names of the "
        "form."
    ),
    **{form: _field(name) for form, name in FORM.items()},
)


class Task(BaseModel):
    """An accepted upload."""

    taskId: str
    status: State


class TaskStatus(BaseModel):
    """progress: per cent. downloadUrl: once it is completed."""

    taskId: str
    status: State
    progress: float
    downloadUrl: str | None
    error: dict[str, Any] | None


class TaskProgress(BaseModel):
    """Frames enlarged so far, of how many; totalFrames is 0 until they are counted."""

    taskId: str
    currentFrame: int
    totalFrames: int
    percentage: float


class Message(BaseModel):
    """One sentence."""

    message: str


@router.post(
    "/upload", response_model=Task, status_code=202, summary="Upload a video to enlarge",
    responses=responses(400, 401, 403, 413, 422, 429, 503, 507),
)  # fmt: skip
async def upload(
    service: ServiceDep,
    account: Submitter,
    video: Annotated[UploadFile, File(description="Any video file that ffmpeg reads")],
    settings: Annotated[
        str, Form(description='JSON, such as {"scale": 2, "quality": "fast"}', max_length=4000)
    ] = "{}",
) -> Task:
    wanted = validate(parse_json_field(settings, "settings"), UpscaleSettings, "settings")
    kept = await run_in_threadpool(_receive, service, account, wanted, video)
    try:
        async with service.decoding.turn(account.id) as turn:
            check = turn.wall.check_upscale
            facts = await run_in_threadpool(check, kept.partial, upscale_settings(wanted))
        job = await run_in_threadpool(_store, service, account, wanted, kept, facts)
    finally:
        kept.drop()
    return Task(taskId=job.id, status=job.state)


def _receive(
    service: Service, account: Account, wanted: UpscaleSettings, video: UploadFile
) -> UploadedVideo:
    """Admit, and copy the upload."""
    check_settings(wanted)
    service.admit(account)
    kept = UploadedVideo(service.files, video)
    kept.copy()
    return kept


def check_settings(wanted: UpscaleSettings) -> None:
    """Raise what a worker would raise whatever the video."""
    upscaler, preset = find_preset(wanted.quality, "quality")
    request = upscale_settings(wanted)
    upscaler.check(request, {name: form for form, name in FORM.items()})
    upscaler.check_licence(wanted.accept_licence)
    upscaler.check_scale(preset, wanted.scale, "scale")
    upscaler.weights(preset, wanted.scale, noisy=request["denoise"] >= NOISY)
    if wanted.refine:
        UpscalerChoice(
            preset, wanted.scale, upscaler=upscaler.id, refine=wanted.refine,
            accepted=wanted.accept_licence,
        ).check(EnhanceSettings())  # fmt: skip


def upscale_settings(wanted: UpscaleSettings) -> dict[str, Any]:
    """What the client said, by the names of an `UpscaleRequest`. Raises BadInputError for no
    preset.
    """
    upscaler, preset = find_preset(wanted.quality, "quality")
    named = {} if upscaler.id == UPSCALER else {"upscaler": upscaler.id}
    return from_form(wanted.model_dump()) | {"preset": preset} | named


def _store(
    service: Service,
    account: Account,
    wanted: UpscaleSettings,
    kept: UploadedVideo,
    facts: VideoFacts,
) -> Job:
    """Keep the upload, store the job, and look whether the upload is there still: a job that named
    it may have been deleted meanwhile.
    """
    asked = upscale_settings(wanted)
    cost = service.planning.upscale(facts, asked)
    request = asked | {
        "input": stored_address(kept.keep()),
        "name": safe_name(kept.upload.filename),
    }
    new = NewJob(
        "upscale",
        account.id,
        request,
        f"upscale {wanted.quality}",
        cost=cost,
        input_bytes=kept.size,
    )
    job = service.submit(new, account)
    if service.files.look(stored_key(kept.name)) is None:
        kept.copy()
        kept.keep()
    return job


def safe_name(name: str | None) -> str:
    """The last part of what the client calls the file, for people to read."""
    plain = "".join(
        letter for letter in (name or "video").replace("\\", "/") if letter.isprintable()
    )
    return PurePath(plain).stem[:60] or "video"


@router.get(
    "/status/{task_id}", response_model=TaskStatus, summary="Status of a task", responses=Unknown
)
def status(service: ServiceDep, account: Reader, task_id: TaskId) -> TaskStatus:
    job = _task(service, account, task_id)
    url = f"/api/download/{job.id}" if job.state is State.COMPLETED else None
    return TaskStatus(
        taskId=job.id,
        status=job.state,
        progress=_percent(job),
        downloadUrl=url,
        error=jsonable(job.error),
    )


@router.get(
    "/progress/{task_id}", response_model=TaskProgress, summary="Frames done", responses=Unknown
)
def progress(service: ServiceDep, account: Reader, task_id: TaskId) -> TaskProgress:
    job = _task(service, account, task_id)
    return TaskProgress(
        taskId=job.id, currentFrame=job.done, totalFrames=job.total, percentage=_percent(job)
    )


@router.get(
    "/download/{task_id}", summary="The enlarged video", response_class=FileResponse,
    responses=responses(401, 403, 404, 409, 422),
)  # fmt: skip
def download(service: ServiceDep, account: Reader, task_id: TaskId) -> Response:
    job = _task(service, account, task_id)
    if job.state is not State.COMPLETED or job.artifact is None:
        raise ApiError(409, f"task {job.id} is {job.state}; there is nothing to download")
    key, version = find_artifact(service, account, job.artifact)
    return service.releasing.deliver(account, key, version, "video/mp4", job.artifact)


@router.post(
    "/cancel/{task_id}",
    response_model=Message,
    summary="Stop a task",
    responses=responses(401, 403, 404, 409, 422),
)
def cancel(service: ServiceDep, account: Submitter, task_id: TaskId) -> Message:
    job = service.store.cancel(service.own(account, _task(service, account, task_id).id).id)
    return Message(
        message="cancelled"
        if job.state is State.CANCELLED
        else "the task stops within one batch of frames"
    )


def _task(service: Service, account: Account, task_id: str) -> Job:
    job = service.store.get(task_id, service.visible_to(account))
    if job.kind != "upscale":
        raise ApiError(404, f"job {task_id} is no upscaling task")
    return job


def _percent(job: Job) -> float:
    if job.state is State.COMPLETED:
        return 100.0
    return round(100 * job.done / job.total, 1) if job.total else 0.0
