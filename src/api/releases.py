"""Releases: submit a clip for approval, decide about it, let it out, withdraw it. A route for each
transition of `src/releases/states.py`.
"""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import AwareDatetime, BaseModel, Field

from src.accounts.accounts import Account
from src.accounts.rights import Right
from src.api import plain
from src.api.artifacts import TYPES
from src.api.derived import labelled_copy_job
from src.api.problems import ApiError, responses
from src.api.releasing import check_no_draft
from src.api.security import Approver, Reader, Releaser, ServiceDep, Submitter
from src.api.service import Service
from src.api.serving import serve
from src.core.addresses import name_of
from src.core.config import Config
from src.jobs.search import is_among
from src.releases.model import (
    LONGEST,
    Release,
    UnknownReleaseError,
    Wish,
    checked_embargo,
)
from src.releases.rules import Persons
from src.releases.states import OUT, TRANSITIONS, ReleaseState, Transition

router = APIRouter(prefix="/releases", tags=["releases"])
ID = "^[0-9a-f]{21}$"
SHA256 = "^[0-9a-f]{64}$"
ReleaseId = Annotated[str, Path(pattern=ID, description="The release's id")]
WITH = {Right.SUBMIT: Submitter, Right.APPROVE: Approver, Right.RELEASE: Releaser}
FIRST, LAST = -2_208_988_800, 253_402_300_799
"""Seconds since the epoch: the years 1900 to 9999."""
GONE = (ReleaseState.WITHDRAWN, ReleaseState.SUPERSEDED)


class NewRelease(Config):
    """A draft. job: whose clip. supersedes: the release that it corrects. label: of a copy with the
    letters AI in the picture, unless the clip has them; the service's own setting where nothing is
    said.
    """

    job: str = Field(pattern=ID)
    supersedes: str | None = Field(None, pattern=ID)
    label: bool | None = None


class Decision(Config):
    """revision, sha256: those that you looked at; where the release has others by now, nothing is
    done. note: with submit and approve what is to be said, with reject and withdraw the reason,
    which is needed; the others keep none. embargo: with submit and release: not served before; with
    a time zone, such as 2026-12-01T06:00:00Z.
    """

    revision: int | None = Field(None, ge=1, le=2**31 - 1)
    sha256: str | None = Field(None, pattern=SHA256)
    note: str = Field("", max_length=LONGEST)
    embargo: AwareDatetime | None = None


class ReleaseView(BaseModel):
    """A release. owner, submitter, approver, releaser: names of keys. embargo: UTC. may: what this
    key may do with it now. clip_url: where the released bytes are; draft_url: the clip before that,
    null while a labelled copy is being made. labelled: whether the picture carries the letters AI.
    sha256: of the bytes that were submitted and approved; served_sha256: of those at clip_url,
    which tell of the release besides, null before. Times are seconds since the epoch.
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
    labelled: bool
    served_sha256: str | None


class ReleaseList(BaseModel):
    """Newest first. next: give it as `before` for the next page; None at the end."""

    releases: list[ReleaseView]
    next: str | None


def shown_release(service: Service, release: Release, account: Account) -> dict[str, Any]:
    """As answers have it."""
    return shown_all(service, [release], account)[0]


def shown_all(
    service: Service, releases: Sequence[Release], account: Account
) -> list[dict[str, Any]]:
    """The same of many, with one look at persons and at successors for all of them."""
    persons = service.releasing.persons(releases, account)
    told = service.releasing.store.told({each.successor for each in releases if each.successor})
    return [_shown(service, each, account, persons, told) for each in releases]


def _shown(
    service: Service, release: Release, account: Account, persons: Persons, told: Collection[str]
) -> dict[str, Any]:
    same = vars(release)
    ended = None if release.state is ReleaseState.RELEASED else release.ended_at
    names = {each: service.people.name_of(same[each]) if same[each] else None
             for each in ("owner", "submitter", "approver", "releaser")}  # fmt: skip
    known = {name: same[name] for name in ReleaseView.model_fields if name in same}
    out = release.state in OUT
    return known | names | {
        "embargo": in_utc(release.embargo), "clip_url": f"/releases/{release.id}/clip",
        "draft_url": _draft_url(service, release),
        "served_sha256": release.served.sha256 if out else None,
        "successor": release.successor if release.successor in told else None, "ended_at": ended,
        "may": [each.action for each in service.releasing.allowed(release, account, persons)],
    }  # fmt: skip


def _draft_url(service: Service, release: Release) -> str | None:
    """Of the clip; of a labelled copy once that is made."""
    name = name_of(release.key)
    if not name:
        made = service.store.many([release.job]).get(release.job)
        name = (made.artifact if made else None) or ""
    return f"/artifacts/{name}" if name else None


def in_utc(at: float | None) -> str | None:
    """Seconds since the epoch as 2026-12-01T06:00:00Z; what no calendar holds, as its nearest."""
    if at is None:
        return None
    held = max(FIRST, min(LAST, at))
    return datetime.fromtimestamp(held, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def find_release(service: Service, account: Account, release_id: str) -> Release:
    """One that the account may see. Raises UnknownReleaseError."""
    release = service.releasing.store.get(release_id)
    seen = is_among(service.visible_to(account), release.owner)
    if not seen and not release.was_out(time.time()):
        raise UnknownReleaseError(f"there is no release {release_id!r}")
    return release


@router.get(
    "", response_model=ReleaseList, summary="Releases, newest first",
    responses=responses(401, 403, 422),
)  # fmt: skip
def list_releases(
    service: ServiceDep, account: Reader,
    state: Annotated[ReleaseState | None, Query()] = None,
    before: Annotated[str | None, Query(pattern=ID)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:  # fmt: skip
    """Of the clips that this key may see."""
    owner = service.visible_to(account)
    found = service.releasing.store.page(owner, state, before, limit)
    following = found[-1].id if len(found) == limit else None
    return {"releases": shown_all(service, found, account), "next": following}


@router.post(
    "", name="create", response_model=ReleaseView, status_code=201,
    summary="Begin to release a clip",
    responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 507),
)  # fmt: skip
def create_release(service: ServiceDep, account: Submitter, wanted: NewRelease) -> dict[str, Any]:
    """A draft, which is submitted then. A clip has one release at a time that has not ended. With a
    label it is of a copy, whose job it names: submit it once that is made.
    """
    release = begin_release(service, account, wanted.job, wanted.supersedes, wanted.label)
    return shown_release(service, release, account)


def begin_release(
    service: Service, account: Account, job_id: str, supersedes: str | None, label: bool | None,
    again: bool = False,
) -> Release:  # fmt: skip
    """A draft of an own clip. supersedes: what it corrects, which the account must see. label: as
    of `NewRelease`. again: a draft that there is goes on, as it was begun.
    """
    service.releasing.check_on()
    job = service.own(account, job_id)
    check_no_draft(job)
    if supersedes is not None:
        find_release(service, account, supersedes)
    title = plain.title(service.show(job))
    if service.settings.release_label == "on" if label is None else label:
        job = labelled_copy_job(service, account, job)
    found = service.releasing.store.of_job(job.id) if again else None
    if found is not None and found.state is ReleaseState.DRAFT:
        return found
    return service.releasing.create(job, title, account, supersedes)


@router.get(
    "/{release_id}", response_model=ReleaseView, summary="One release",
    responses=responses(401, 403, 404, 422),
)  # fmt: skip
def get_release(service: ServiceDep, account: Reader, release_id: ReleaseId) -> dict[str, Any]:
    return shown_release(service, find_release(service, account, release_id), account)


@router.get(
    "/{release_id}/clip", summary="The released clip", response_class=FileResponse,
    responses=responses(401, 403, 404, 409, 410, 422),
)  # fmt: skip
def clip(
    service: ServiceDep, account: Reader, release_id: ReleaseId,
    if_none_match: Annotated[str, Header(description="An ETag, as of an artifact")] = "",
) -> Response:  # fmt: skip
    """The address stays. What is served are the bytes that were approved; where clips are signed,
    with the release added to their record, and nothing else. Their hash is the ETag. 409 before it
    is released and before its embargo ends, 410 once it is withdrawn.
    """
    release = find_release(service, account, release_id)
    if release.state in GONE:
        raise _gone(release, service.releasing.store.told({release.successor or ""}))
    if not release.is_out(time.time()):
        raise _early(release)
    served = release.served
    service.releasing.check_bytes(release, served)
    etags = frozenset(each.strip().removeprefix("W/") for each in if_none_match.split(","))
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{served.sha256}"',
               "X-Newsreel-Release": release.state.value}  # fmt: skip
    kind = TYPES[name_of(served.key)[-4:]]
    return serve(service.files, served.key, kind, headers, None, etags, served.version, True)


def _early(release: Release) -> ApiError:
    if release.state is ReleaseState.RELEASED and release.embargo is not None:
        wait = {"Retry-After": str(max(1, round(release.embargo - time.time())))}
        until = in_utc(release.embargo)
        return ApiError(409, f"release {release.id} is under embargo until {until}", wait)
    return ApiError(409, f"release {release.id} is {release.state}: its clip is not out")


def _gone(release: Release, told: Collection[str]) -> ApiError:
    """410 with the reason, and what is in its place. told: which releases may be named."""
    withdrawn = release.state is ReleaseState.WITHDRAWN
    why = f": {release.reason}" if withdrawn else ", by a correction"
    error = ApiError(410, f"release {release.id} was {release.state}{why}")
    after = f"/releases/{release.successor}/clip" if release.successor in told else None
    error.members = {"state": release.state, "reason": release.reason if withdrawn else "",
                     "successor": after}  # fmt: skip
    error.headers = {"Cache-Control": "no-store"}
    if after:
        error.headers |= {"Link": f'<{after}>; rel="successor-version"'}
    return error


def wish_of(action: str, told: Decision) -> Wish:
    """Raises BadInputError for an embargo outside the years 2000 to 2099."""
    until = None if told.embargo is None else checked_embargo(told.embargo.timestamp())
    return Wish(action, told.revision, told.note, until, seen=told.sha256)


def _route(step: Transition) -> Callable[..., dict[str, Any]]:
    """The endpoint of a transition; its right is asked before anything else."""

    def do(
        service: ServiceDep, account: WITH[step.right], release_id: ReleaseId,  # type: ignore[valid-type]
        told: Annotated[Decision, Body()] = Decision(),  # noqa: B008
    ) -> dict[str, Any]:  # fmt: skip
        release = find_release(service, account, release_id)
        done = service.releasing.act(release, wish_of(step.action, told), account)
        return shown_release(service, done, account)

    do.__name__ = f"{step.action}_release"
    return do


for _step in TRANSITIONS.values():
    _writes = (503, 507) if _step.target is ReleaseState.RELEASED else ()
    router.add_api_route(
        f"/{{release_id}}/{_step.action}", _route(_step), methods=["POST"],
        response_model=ReleaseView, summary=_step.told,
        responses=responses(400, 401, 403, 404, 409, 413, 415, 422, *_writes),
    )  # fmt: skip
