"""What happens to jobs, as server-sent events: of one job, or of all that a key may see."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from src.api.answers import jsonable
from src.api.broadcaster import EventBroadcaster
from src.api.jobs import JobId, Unknown
from src.api.problems import responses
from src.api.security import Reader, ServiceDep, is_known
from src.jobs.model import Event
from src.jobs.search import Owner

router = APIRouter(prefix="/jobs", tags=["jobs"])
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STILL_HERE = ": still here\n\n"
END = "event: end\ndata: {}\n\n"
Allowed = Callable[[], bool]


def last_event(
    last_event_id: Annotated[
        str, Header(description="The last event received; the stream goes on after it")
    ] = "",
    after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> int | None:
    """Where a stream goes on; None where the client has heard nothing yet."""
    is_number = last_event_id.isdecimal() and len(last_event_id) < 19
    return int(last_event_id) if is_number else after


After = Annotated[int | None, Depends(last_event)]
Seconds = Annotated[float, Query(ge=0, le=86400, description="How long; then clients come back")]


def _opened(until: str) -> dict[int | str, dict]:
    content = {"text/event-stream": {}}
    return {200: {"content": content, "description": until}}


@router.get(
    "/events",
    summary="What happens to all of this key's jobs, as server-sent events",
    response_class=StreamingResponse,
    responses=_opened("For `seconds`, or until the client goes away") | responses(401, 403, 422),
)
async def all_events(
    request: Request, service: ServiceDep, account: Reader, after: After, seconds: Seconds = 3600
) -> StreamingResponse:
    """Events as of `GET /jobs/{job_id}/events`, each with its `job`; from now on, where no last
    event is named. Kinds are the same.
    """
    begin = after if after is not None else await asyncio.to_thread(service.store.last_event)
    owner = service.visible_to(account)
    lines = _of_all(service.broadcaster, owner, begin, seconds, lambda: is_known(request, service))
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS)


async def _of_all(
    broadcaster: EventBroadcaster, owner: Owner, after: int, seconds: float, allowed: Allowed
) -> AsyncIterator[str]:
    """Begins with a sign of life, so that a client knows at once that it is heard."""
    yield f"id: {after}\nevent: hello\ndata: {{}}\n\n"
    async for events in broadcaster.follow_all(owner, after, seconds):
        if not await asyncio.to_thread(allowed):
            return
        yield "".join(_text(event, {"job": event.job_id}) for event in events) or STILL_HERE


@router.get(
    "/{job_id}/events",
    summary="What happens to a job, as server-sent events",
    response_class=StreamingResponse,
    responses=_opened("Until the job's last event") | Unknown,
)
async def events(
    request: Request, service: ServiceDep, account: Reader, job_id: JobId, after: After
) -> StreamingResponse:
    """Kinds: `state`, `progress` (stage, done, total), `preview` (a new picture is there)."""
    await asyncio.to_thread(service.store.get, job_id, service.visible_to(account))
    lines = _of_one(service.broadcaster, job_id, after or 0, lambda: is_known(request, service))
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS)


async def _of_one(
    broadcaster: EventBroadcaster, job_id: str, after: int, allowed: Allowed
) -> AsyncIterator[str]:
    """Without its `end` where the service stops before the job does, so that clients come back.

    It ends too when the key that opened it is revoked.
    """
    async for event in broadcaster.follow(job_id, after):
        if not await asyncio.to_thread(allowed):
            return
        yield STILL_HERE if event is None else _text(event, {})
    if not broadcaster.closing:
        yield END


def _text(event: Event, more: dict[str, str]) -> str:
    data = json.dumps({"at": event.at} | more | jsonable(event.data))
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
