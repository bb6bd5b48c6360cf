"""A job and its states.

PENDING ──> PROCESSING ──> COMPLETED
   │            ├────────> FAILED ──(retry)──> PENDING
   │            ├────────> CANCELLED ─(retry)─> PENDING
   │            └── lease lost ──> PENDING, or FAILED after the last attempt
   └──────────> CANCELLED
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

PARENT = "of"
"""Key of a request that names the job whose clip it reads; no worker reads it."""
LABELLED = "labelled_copy"
OWN_KEYS = "newsreel:"
"""Idempotency keys that begin so are the service's own; clients are refused them."""
"""Key of a request for a copy of a clip with the visible label, for its release: nothing else of
the picture changes.
"""
REMIX_OF = "remix_of"
"""Key of a request that names the job whose clip it is another one of; no worker reads it."""


class State(StrEnum):
    """Where a job is. The last three are final: only `retry` leaves FAILED and CANCELLED."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in (State.COMPLETED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class NewJob:
    """What a client asks for.

    kind: "generate" or "upscale". request: plain JSON that the worker understands. group: jobs of
    one group share what is loaded. priority: 0 normal, 1 urgent, 2 breaking news; -1 when there is
    time. idempotency_key: a second submission of one owner with the same key is the first one's
    job. cost: frames of 720x480 that it is reckoned to take (`src/engine/reckoning.py`).
    input_bytes: of the photograph or upload that it reads, where known. traceparent: of the
    request's trace. What it reads (`source`) and enlarges (`parent`) is taken from the
    request.
    """

    kind: str
    owner: str
    request: dict[str, Any]
    group: str = ""
    priority: int = 0
    idempotency_key: str | None = None
    max_attempts: int = 3
    cost: float = 0.0
    input_bytes: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Job:
    """One job as stored. Times are seconds since the epoch; done and total count the steps of
    `stage`.

    parent: the job whose clip it enlarges. source: name of the stored file that it reads. cost: as
    in `NewJob`. makers: keys that made the clips which its own is made of, whoever owns the job.
    labelled: whether its whole picture carries the visible label, its own or its source's. draft:
    whether its clip is a draft, or made of one. gpus: devices that make its clip together.
    """

    id: str
    kind: str
    owner: str
    state: State
    request: dict[str, Any]
    group: str
    priority: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempts: int
    max_attempts: int
    token: int
    worker: str | None
    lease_expires: float | None
    cancel_requested: bool
    stage: str | None
    done: int
    total: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    artifact: str | None
    idempotency_key: str | None
    pinned: bool
    parent: str | None = None
    source: str | None = None
    cost: float = 0.0
    traceparent: str | None = None
    makers: Sequence[str] = ()
    labelled: bool = False
    draft: bool = False
    gpus: int = 1


UNIT = 720 * 480
"""Pixels of the frame that costs are counted in."""


def written(job: Job) -> float:
    """Frames of 720x480 in its clip, by its result; of results that do not say the size, which are
    older than costs that know more, its cost.
    """
    result = job.result or {}
    if not {"frames", "width", "height"} <= result.keys():
        return job.cost
    return result["frames"] * result["width"] * result["height"] / UNIT


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. kind: "state", "progress", "preview"; ids rise without gaps
    in order.
    """

    id: int
    job_id: str
    at: float
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
