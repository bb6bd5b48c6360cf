"""A job as a Video of OpenAI's clients."""

from typing import Any, Literal

from pydantic import BaseModel

from src.api.answers import without_paths
from src.api.openai.lengths import seconds_text
from src.api.openai.wishes import models_of
from src.api.service import Service
from src.catalog.spec import ModelSpec
from src.core.parsing import parse_upscale
from src.core.plan import Size
from src.engine.drafts import drafted
from src.jobs.model import PARENT, REMIX_OF, Job, State

STATUSES = {
    State.PENDING: "queued", State.PROCESSING: "in_progress", State.COMPLETED: "completed",
    State.FAILED: "failed", State.CANCELLED: "failed",
}  # fmt: skip
DAY_S = 86400


class VideoFailure(BaseModel):
    """Why there is no clip."""

    code: str
    message: str


class Video(BaseModel):
    """Times are seconds since the epoch. seconds, size: of what is made, whatever was asked. The
    fields from `frames` on are Newsreel's own.
    """

    id: str
    object: Literal["video"] = "video"
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    model: str
    prompt: str | None
    seconds: str
    size: str
    error: VideoFailure | None
    remixed_from_video_id: str | None
    extended_from_video_id: str | None
    frames: int
    fps: float
    seed: int | None
    temporal_score: float | None
    queue_place: int | None


class VideoList(BaseModel):
    """A page. last_id: give it as `after` for the next one."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """What is left of a deleted video."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


def public_id(job_id: str) -> str:
    """The id of a job's video."""
    return f"video_{job_id}"


def video_of(job: Job, service: Service) -> Video:
    """The job as these clients see it."""
    spec, result, request = models_of(service, job.request)[0], job.result or {}, job.request
    frames, fps = _length(request, result, spec, _frames_before(service, job))
    source, completed = request.get(REMIX_OF), job.state is State.COMPLETED
    ahead = service.outlook.of(job)
    return Video(
        id=public_id(job.id), status=STATUSES[job.state], progress=service.progresses.of(job),
        created_at=int(job.created_at), expires_at=_expiry(job, service),
        completed_at=int(job.finished_at or 0) if completed else None,
        model=without_paths(str(result.get("model") or request.get("model") or "auto")),
        prompt=request.get("prompt"), seconds=seconds_text(frames, fps),
        size=str(_size(request, spec)), error=_failure(job),
        remixed_from_video_id=public_id(source) if source else None,
        extended_from_video_id=_extended(request), frames=frames, fps=fps,
        seed=result.get("seed", request.get("seed")),
        temporal_score=(result.get("report") or {}).get("score"),
        queue_place=ahead.place if ahead else None,
    )  # fmt: skip


def _extended(request: dict[str, Any]) -> str | None:
    return public_id(request[PARENT]) if request.get("extend") and request.get(PARENT) else None


def _frames_before(service: Service, job: Job) -> int:
    """Frames of the clip that a job goes on with, while it is there; 0 for none."""
    parent = service.store.many([str(job.parent)]).get(str(job.parent))
    if not job.request.get("extend") or parent is None:
        return 0
    spec = models_of(service, parent.request)[0]
    return _length(parent.request, parent.result or {}, spec, _frames_before(service, parent))[0]


def _length(
    request: dict[str, Any], result: dict[str, Any], spec: ModelSpec, before: int
) -> tuple[int, float]:
    """Frames and rate: of the clip, once there is one, else as planned."""
    if result.get("frames") and result.get("fps"):
        return result["frames"], result["fps"]
    fps = request.get("fps") or spec.defaults.fps
    made = request.get("num_frames") or spec.defaults.num_frames
    return made + (before - 1 if before else 0), fps


def _size(request: dict[str, Any], spec: ModelSpec) -> Size:
    spec = drafted(spec, bool(request.get("draft")))
    size = spec.deliver(request.get("width"), request.get("height"))
    scale = parse_upscale(request["upscale"])[0] if request.get("upscale") else 1
    return Size(width=size.width * scale, height=size.height * scale)


def _expiry(job: Job, service: Service) -> int | None:
    """When retention removes it; None while it is made, where it is pinned, or where all is
    kept.
    """
    days = service.settings.keep_days
    if not days or job.pinned or job.finished_at is None:
        return None
    return int(job.finished_at + days * DAY_S)


def _failure(job: Job) -> VideoFailure | None:
    if job.state is State.CANCELLED:
        return VideoFailure(code="cancelled", message="the job was cancelled")
    if job.state is not State.FAILED:
        return None
    error = job.error or {}
    message = without_paths(str(error.get("detail", "the job failed")))
    code = "server_error" if error.get("status", 500) >= 500 else "invalid_request"
    return VideoFailure(code=code, message=message)
