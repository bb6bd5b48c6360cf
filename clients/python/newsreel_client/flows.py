"""What the client does, without a network: each flow yields what is to be done next and is sent the
answer. Threads and asyncio drive the same flows (`client.py`).
"""

import json
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx

from newsreel_client.errors import (
    JobFailedError,
    NotSubmittedError,
    RefusedError,
    WaitedTooLongError,
)
from newsreel_client.models import Job, Release, Verdict

T = TypeVar("T")
TRIES = 4
AGAIN = (429, 503)
"""Statuses after which the same request may do."""
LONGEST_S = 60.0
"""A service that asks for more patience is refused at once: that is a quota of the day."""
Listener = Callable[[Job], None]


@dataclass(frozen=True)
class Ask:
    """A request. again: whether it may be sent twice."""

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    again: bool = True


@dataclass(frozen=True)
class Save:
    """Download into a file, from where it ends. Sent back: the answer, without its body."""

    path: str
    target: Path
    again: bool = True


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step = Ask | Save | Pause
Flow = Generator[Step, Any, T]


def asked(step: Ask | Save) -> Flow[httpx.Response]:
    """The answer, after several tries where it may be sent twice. Raises RefusedError."""
    for tries in range(1, TRIES + 1):
        last = tries == TRIES or not step.again
        try:
            answer: httpx.Response = yield step
        except httpx.TransportError:
            if last:
                raise
            yield Pause(0.2 * 2**tries)
            continue
        if answer.status_code < 400:
            return answer
        error = refusal(answer)
        wait = error.retry_after or 1.0
        if last or error.status not in AGAIN or wait > LONGEST_S:
            raise error
        yield Pause(wait)
    raise AssertionError("the last try returns or raises")


def refusal(answer: httpx.Response) -> RefusedError:
    """The problem that the service answered, or what something before it did."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"{answer.status_code} {answer.reason_phrase}"
    after = answer.headers.get("retry-after", "")
    seconds = float(after) if after.isdecimal() else None
    return RefusedError(answer.status_code, detail, seconds, answer.headers.get("x-request-id"))


def submit(photograph: bytes, fields: dict[str, Any], key: str | None) -> Flow[Job]:
    """Store a job. Without a key one is drawn, so that a second try makes no second clip."""
    headers = {"Prefer": "respond-async", "Idempotency-Key": key or uuid.uuid4().hex}
    options = {"headers": headers, "files": {"image": photograph}, "data": as_form(fields)}
    answer = yield from asked(Ask("POST", "/generate-video", options))
    return Job.of(answer.json())


def as_form(fields: dict[str, Any]) -> dict[str, str | list[str]]:
    """Texts: slots as JSON, booleans as true or false, intervals as FROM,UNTIL. None is left
    out.
    """
    return {name: _as_text(value) for name, value in fields.items() if value is not None}


def _as_text(value: Any) -> str | list[str]:
    if isinstance(value, dict | bool):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(map(str, cast(tuple[object, ...], value)))
    if isinstance(value, list):
        return list(map(str, cast(list[object], value)))
    return str(value)


def upscale(video: Path | bytes, settings: dict[str, Any]) -> Flow[Job]:
    """Upload a video. It is sent once: uploads have no idempotency key."""
    with ExitStack() as opened:
        file = video if isinstance(video, bytes) else opened.enter_context(video.open("rb"))
        options = {"files": {"video": file}, "data": {"settings": json.dumps(settings)}}
        answer = yield from asked(Ask("POST", "/api/upload", options, again=False))
    return (yield from look(answer.json()["taskId"]))


def look(job_id: str) -> Flow[Job]:
    answer = yield from asked(Ask("GET", f"/jobs/{job_id}"))
    return Job.of(answer.json())


def page(params: dict[str, Any]) -> Flow[tuple[list[Job], str | None]]:
    """Jobs, and where the next page begins."""
    answer = yield from asked(Ask("GET", "/jobs", {"params": params}))
    body = answer.json()
    return [Job.of(each) for each in body["jobs"]], body["next"]


def cancel(job_id: str) -> Flow[Job]:
    answer = yield from asked(Ask("POST", f"/jobs/{job_id}/cancel"))
    return Job.of(answer.json())


def full(job_id: str) -> Flow[Job]:
    answer = yield from asked(Ask("POST", f"/jobs/{job_id}/full"))
    return Job.of(answer.json())


def delete(job_id: str) -> Flow[None]:
    yield from asked(Ask("DELETE", f"/jobs/{job_id}"))


def wait(
    job_id: str, listener: Listener | None, timeout_s: float | None, every_s: float
) -> Flow[Job]:
    """The job once it is COMPLETED. The listener hears of it whenever it has moved."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    before: Job | None = None
    while True:
        job = yield from look(job_id)
        if listener is not None and (before is None or _moved(before, job)):
            listener(job)
        if job.final:
            return _completed(job)
        if until is not None and time.monotonic() > until:
            raise WaitedTooLongError(job)
        before = job
        yield Pause(every_s)


def _moved(before: Job, job: Job) -> bool:
    return (before.state, before.progress) != (job.state, job.progress)


def _completed(job: Job) -> Job:
    if job.state != "COMPLETED" or job.artifact_url is None:
        raise JobFailedError(job)
    return job


def download(job_id: str, target: Path) -> Flow[Path]:
    """Fetch the file. What a broken download left beside the target is gone on with: an artifact's
    name stands for the same bytes always.
    """
    job = _completed((yield from look(job_id)))
    partial = target.with_name(f".{target.name}.{job.artifact}.partial")
    step = Save(str(job.artifact_url), partial)
    yield from _fetched(step)
    partial.replace(target)
    return target


def _fetched(step: Save) -> Flow[None]:
    """Several tries, each from where the one before ended; those that brought something do not
    count.
    """
    once, had = replace(step, again=False), -1
    while True:
        try:
            answer: httpx.Response = yield once
        except httpx.TransportError:
            has = step.target.stat().st_size if step.target.exists() else 0
            if has <= had:
                raise
            had = has
            yield Pause(0.2)
            continue
        if answer.status_code < 400 or _is_whole(answer, step.target):
            return
        raise refusal(answer)


def _is_whole(answer: httpx.Response, target: Path) -> bool:
    """Whether the service has nothing after what is there: 416 with `bytes */SIZE`."""
    size = answer.headers.get("content-range", "").rpartition("/")[2]
    return answer.status_code == 416 and size == str(target.stat().st_size)


def verify(file: Path | bytes) -> Flow[Verdict]:
    """What a clip or a photograph says of itself."""
    data = file if isinstance(file, bytes) else file.read_bytes()
    answer = yield from asked(Ask("POST", "/verify", {"files": {"file": data}}))
    told = answer.json()
    return Verdict(told["changed"], told["sentence"], told["layers"])


def ask_approval(
    job_id: str, supersedes: str | None, label: bool | None, told: dict[str, Any]
) -> Flow[Release]:
    """A draft, submitted at once, unless it is of a labelled copy."""
    body = {"job": job_id, "supersedes": supersedes} | ({} if label is None else {"label": label})
    answer = yield from asked(Ask("POST", "/releases", {"json": body}, again=False))
    draft = Release.of(answer.json())
    if draft.job != job_id:
        if any(told.values()):
            raise NotSubmittedError(draft)
        return draft
    return (yield from decide(draft, "submit", told))


def look_at_release(release_id: str) -> Flow[Release]:
    """The release as it is now."""
    answer = yield from asked(Ask("GET", f"/releases/{release_id}"))
    return Release.of(answer.json())


def releases(wanted: dict[str, Any]) -> Flow[tuple[list[Release], str | None]]:
    """A page of releases, and what the next one begins before."""
    params = {name: value for name, value in wanted.items() if value is not None}
    told = (yield from asked(Ask("GET", "/releases", {"params": params}))).json()
    return [Release.of(each) for each in told["releases"]], told["next"]


def decide(release: Release | str, action: str, told: dict[str, Any]) -> Flow[Release]:
    """One transition. Of a Release, the one that was looked at and no other: it is not done where
    revision or bytes are others by now. It is sent once.
    """
    name = release if isinstance(release, str) else release.id
    seen = (
        {} if isinstance(release, str) else {"revision": release.revision, "sha256": release.sha256}
    )
    body = {name: value for name, value in (seen | told).items() if value is not None}
    step = Ask("POST", f"/releases/{name}/{action}", {"json": body}, again=False)
    return Release.of((yield from asked(step)).json())
