"""The pages of approval: the queue, and one release beside its photograph. They work by forms
alone; scripts add keys.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from src.accounts.accounts import Login
from src.accounts.rights import Right
from src.api.problems import ApiError
from src.api.release_words import STATES
from src.api.releases import begin_release, find_release, shown_all, shown_release
from src.api.security import ServiceDep, check_right
from src.api.service import Service
from src.api.site import PageRoute, Sender, Viewer, error_in_words, render_page, status_of
from src.api.verify import Verdict, stored_verdict
from src.core.errors import BadInputError, NewsreelError
from src.jobs.errors import UnknownJobError
from src.releases.model import Release, Wish, checked_embargo
from src.releases.states import TRANSITIONS, ReleaseState

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PLACE = "/approvals"
PAGE = 24
Note = Annotated[str, Form(max_length=4000)]


@router.get(PLACE)
def queue(
    request: Request, service: ServiceDep, login: Viewer,
    state: Annotated[str, Query(max_length=20)] = ReleaseState.SUBMITTED,
    before: Annotated[str, Query(pattern="^([0-9a-f]{21})?$")] = "",
) -> Response:  # fmt: skip
    """What waits, or what became of it. state: "all" for every state."""
    if state not in (*ReleaseState, "all"):
        raise ApiError(422, f"there is no state {state!r}; choose one from the list")
    wanted = None if state == "all" else ReleaseState(state)
    owner = service.visible_to(login.account)
    found = service.releasing.store.page(owner, wanted, before or None, PAGE)
    more = urlencode({"state": state, "before": found[-1].id}) if len(found) == PAGE else ""
    return render_page(
        request, "approvals.html", login, chosen=state, states=STATES, following=more,
        releases=shown_all(service, found, login.account),
    )  # fmt: skip


@router.get(PLACE + "/{release_id}")
async def decision_page(
    request: Request, service: ServiceDep, login: Viewer, release_id: str
) -> Response:
    """The clip beside its photograph, what was asked, what its layers say, and what this key may
    do.
    """
    release = await run_in_threadpool(find_release, service, login.account, release_id)
    return await _page(request, service, login, release)


async def _page(
    request: Request, service: Service, login: Login, release: Release, status: int = 200,
    **more: Any,
) -> Response:  # fmt: skip
    verdict, trouble = await _verdict(service, login, release)
    return await run_in_threadpool(
        _render, request, service, login, release, status,
        {"verdict": verdict, "trouble": trouble} | more,
    )  # fmt: skip


def _render(
    request: Request, service: Service, login: Login, release: Release, status: int,
    more: dict[str, Any],
) -> Response:  # fmt: skip
    view = shown_release(service, release, login.account)
    may = [TRANSITIONS[each] for each in view["may"]]
    return render_page(
        request, "decision.html", login, status, release=view, job=_job(service, login, release),
        may={each.action: each for each in may}, states=STATES, who=_who(service, release), **more,
    )  # fmt: skip


async def _verdict(service: Service, login: Login, release: Release) -> tuple[Verdict | None, str]:
    """What `POST /verify` would say of the clip; else a sentence why that is not known."""
    if not release.key:
        return None, "Not looked at: the copy is still being made, or is not submitted yet."
    try:
        found = await stored_verdict(service, login.account, release.key, release.version)
    except (BadInputError, ApiError) as error:
        return None, error_in_words(error)
    return found, "" if found else "Not looked at: this service does not verify files."


def _job(service: Service, login: Login, release: Release) -> Any:
    """None where it was deleted."""
    try:
        return service.show(service.seen(login.account, release.job))
    except UnknownJobError:
        return None


def _who(service: Service, release: Release) -> str:
    """Why this page offers no decision to one's own clips, in words."""
    names = {service.people.name_of(each) for each in (release.owner, release.submitter) if each}
    return " and ".join(sorted(filter(None, names)))


@router.post(PLACE)
def ask(
    service: ServiceDep, login: Sender, job: Annotated[str, Form(pattern="^[0-9a-f]{21}$")],
    note: Note = "", embargo: Annotated[str, Form(max_length=40)] = "",
    supersedes: Annotated[str, Form(pattern="^([0-9a-f]{21})?$")] = "",
    label: Annotated[Literal["on", ""], Form()] = "",
) -> Response:  # fmt: skip
    """A clip's page asks for approval: a draft, submitted at once. One that is a draft goes on.
    label: a draft alone, of a labelled copy, which is looked at before it is submitted; pressed
    again, a copy that failed is made again.
    """
    check_right(login.account, Right.SUBMIT)
    until = _utc(embargo)
    release = begin_release(
        service, login.account, job, supersedes or None, bool(label), again=True
    )
    if not label:
        wish = Wish("submit", release.revision, note, until)
        service.releasing.act(release, wish, login.account)
    return RedirectResponse(f"{PLACE}/{release.id}", 303)


@router.post(PLACE + "/{release_id}/{action}")
async def act_on_release(
    request: Request, service: ServiceDep, login: Sender, release_id: str, action: str,
    revision: Annotated[int, Form(ge=1, le=2**31 - 1)], note: Note = "",
    sha256: Annotated[str, Form(pattern="^([0-9a-f]{64})?$")] = "",
    embargo: Annotated[str, Form(max_length=40)] = "",
) -> Response:  # fmt: skip
    """The buttons. What is refused is said on the page, with the note still in it."""
    if action not in TRANSITIONS:
        raise ApiError(404, "there is no such button")
    release = await run_in_threadpool(find_release, service, login.account, release_id)
    try:
        wish = Wish(action, revision, note, _utc(embargo), seen=sha256 or None)
        await run_in_threadpool(service.releasing.act, release, wish, login.account)
    except (NewsreelError, ApiError) as error:
        now = await run_in_threadpool(find_release, service, login.account, release_id)
        told = {"error": error_in_words(error), "note": note}
        return await _page(request, service, login, now, status_of(error), **told)
    waits = action in ("approve", "reject")
    return RedirectResponse(PLACE if waits else f"{PLACE}/{release_id}", 303)


@router.get(PLACE + "/{release_id}/{action}")
def back(login: Viewer, release_id: str, action: str) -> Response:
    """Where a login leads whose button was refused before."""
    return RedirectResponse(f"{PLACE}/{release_id}", 303)


def _utc(text: str) -> float | None:
    """A form's time, which is UTC unless it says another zone. Raises BadInputError."""
    if not text:
        return None
    try:
        told = datetime.fromisoformat(text)
        at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadInputError(
            f"{text[:40]!r} is no time; write it as 2026-12-01T06:00, in UTC"
        ) from None
    return checked_embargo(at)
