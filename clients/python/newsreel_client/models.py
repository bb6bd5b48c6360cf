"""What the service answers. A test holds the fields equal to its OpenAPI document."""

from dataclasses import dataclass, fields
from typing import Any, Literal, Self, cast

State = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Progress:
    """done of total units of a stage: load, encode, denoise, decode, deliver."""

    stage: str | None = None
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Job:
    """A clip or an enlargement. Times are seconds since the epoch. artifact: the file's name, once
    there is one. queue_place: 1 is next, 0 runs. expected_s: seconds until it is done.
    """

    id: str
    kind: Literal["generate", "upscale"]
    state: State
    priority: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempts: int
    progress: Progress
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

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """From JSON; fields of a newer service are left out."""
        known = {field.name for field in fields(cls)} - {"progress"}
        values = {name: value for name, value in answer.items() if name in known}
        told = cast(dict[str, Any], answer["progress"])
        return cls(progress=Progress(told["stage"], told["done"], told["total"]), **values)


ReleaseState = Literal[
    "draft", "submitted", "approved", "rejected", "released", "withdrawn", "superseded"
]


@dataclass(frozen=True)
class Release:
    """A clip on its way out. owner, submitter, approver, releaser: names of keys. sha256: of the
    bytes that were submitted. embargo: UTC. may: what this key may do with it. draft_url: None
    while a labelled copy is being made. labelled: whether the picture carries the letters AI.
    served_sha256: of the bytes at clip_url; None before.
    """

    id: str
    job: str
    title: str
    state: ReleaseState
    revision: int
    sha256: str | None
    note: str
    reason: str
    embargo: str | None
    supersedes: str | None
    successor: str | None
    owner: str | None
    submitter: str | None
    approver: str | None
    releaser: str | None
    created_at: float
    submitted_at: float | None
    decided_at: float | None
    released_at: float | None
    ended_at: float | None
    clip_url: str
    draft_url: str | None
    may: list[str]
    labelled: bool = False
    served_sha256: str | None = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """From JSON; fields of a newer service are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in answer.items() if name in known})


@dataclass(frozen=True)
class Verdict:
    """What a file says of itself. changed: whether a layer contradicts the file. layers: by name,
    each with `found` (None: not looked for) and `sentence`.
    """

    changed: bool
    sentence: str
    layers: dict[str, dict[str, Any]]
