"""What the API answers, for OpenAPI and for people."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from src.api.answers import jsonable
from src.jobs.forecast import Forecast
from src.jobs.model import Job, State

EXAMPLE = {
    "id": "19a1b2c3d4e5f60718293",
    "kind": "generate",
    "state": "COMPLETED",
    "priority": 0,
    "created_at": 1790000000.0,
    "started_at": 1790000001.0,
    "finished_at": 1790000020.0,
    "attempts": 1,
    "progress": {"stage": "deliver", "done": 49, "total": 49},
    "request": {"prompt": "Press briefing at city hall, slow push in", "mode": "optimized"},
    "result": {"report": {"score": 0.97, "accepted": True}},
    "error": None,
    "cancel_requested": False,
    "pinned": False,
    "artifact": "press-briefing-19a1b2c3d4e5f60718293-1.mp4",
    "artifact_url": "/artifacts/press-briefing-19a1b2c3d4e5f60718293-1.mp4",
    "manifest_url": "/artifacts/press-briefing-19a1b2c3d4e5f60718293-1.mp4/manifest",
    "events_url": "/jobs/19a1b2c3d4e5f60718293/events",
    "preview_url": "/jobs/19a1b2c3d4e5f60718293/preview",
    "picture_url": "/jobs/19a1b2c3d4e5f60718293/picture",
    "owner": "night desk",
    "queue_place": None,
    "expected_s": None,
}


class ProgressView(BaseModel):
    """done of total units of a stage: load, encode, denoise, decode, deliver."""

    stage: str | None = None
    done: int = 0
    total: int = 0


class JobView(BaseModel):
    """A job as clients see it. Times are seconds since the epoch.

    owner: the name of its key. queue_place: 1 is next, 0 runs; expected_s: seconds until it is
    done, by how long jobs took lately. Both are None where that is not known, or the job has ended.
    """

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: str
    kind: str
    state: State
    priority: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempts: int
    progress: ProgressView
    request: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    cancel_requested: bool
    pinned: bool
    artifact: str | None
    artifact_url: str | None
    manifest_url: str | None
    events_url: str
    preview_url: str
    picture_url: str
    owner: str | None
    queue_place: int | None
    expected_s: float | None


class JobList(BaseModel):
    """Newest first. next: give it as `before` for the next page; None at the end."""

    jobs: list[JobView]
    next: str | None


class Generated(BaseModel):
    """A finished clip: `path` on the service's disk, `url` to fetch it, the temporal score, and the
    whole job.
    """

    path: str
    url: str
    temporal_score: float | None = Field(description="0 to 1; None where it was not taken")
    job: JobView


HIDDEN = {"input_image", "input", "photograph_sha256"}


def view(job: Job, owner: str | None = None, ahead: Forecast | None = None) -> JobView:
    """The job without paths of the machine. owner: the name of its key. ahead: its forecast."""
    url = f"/artifacts/{job.artifact}" if job.artifact else None
    return JobView(
        **{name: getattr(job, name) for name in
           ("id", "kind", "state", "priority", "created_at", "started_at", "finished_at",
            "attempts", "cancel_requested", "pinned", "artifact")},
        result=jsonable(job.result),
        error=jsonable(job.error),
        progress=ProgressView(stage=job.stage, done=job.done, total=job.total),
        request={name: value for name, value in job.request.items() if name not in HIDDEN},
        artifact_url=url,
        manifest_url=f"{url}/manifest" if url and job.kind == "generate" else None,
        events_url=f"/jobs/{job.id}/events",
        preview_url=f"/jobs/{job.id}/preview",
        picture_url=f"/jobs/{job.id}/picture",
        owner=owner,
        queue_place=ahead.place if ahead else None,
        expected_s=ahead.seconds if ahead else None,
    )  # fmt: skip
