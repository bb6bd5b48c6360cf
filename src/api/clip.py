"""The page of one clip with its buttons, and the page that plays two side by side."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from src.accounts.accounts import Account, Login
from src.accounts.rights import Right
from src.api.curve import curve
from src.api.derived import check_finished, copy_of, derive, full_clip, full_clip_job
from src.api.jobs import JobId, retry
from src.api.problems import ApiError
from src.api.release_words import STATES
from src.api.security import ServiceDep
from src.api.service import Service
from src.api.site import Editor, PageRoute, Viewer, render_page
from src.api.upscale import UpscaleSettings, check_settings, upscale_settings
from src.catalog.upscalers import offered
from src.core.addresses import artifact_address, clip_key
from src.jobs import references
from src.jobs.errors import UnknownJobError
from src.jobs.model import OWN_KEYS, PARENT, Job, NewJob, written

router = APIRouter(include_in_schema=False, route_class=PageRoute)
QUICK = "fast"
"""How clips are enlarged where a person chooses nothing."""
SCALE = UpscaleSettings().scale
LIMITED = (
    "The licence of the chosen upscaler limits what its pictures may be used for; tick the box "
    "beside the choice if you meet the limits."
)
Quality = Annotated[str, Form(max_length=100)]


@router.get("/clips/{job_id}")
def clip_page(request: Request, service: ServiceDep, login: Viewer, job_id: JobId) -> Response:
    """One job: progress, then the clip with its score and warnings, beside its enlarged one."""
    job = service.store.get(job_id, service.visible_to(login.account))
    return _page(request, service, login, job)


def _page(
    request: Request, service: Service, login: Login, job: Job, status: int = 200, **more: Any
) -> Response:
    report = (job.result or {}).get("report") or {}
    line = curve(report.get("curve") or [])
    return render_page(
        request, "clip.html", login, status, job=service.show(job), report=report, curve=line,
        larger=_larger(service, login, job), smaller=_smaller(service, login, job),
        may_change=_may_change(login.account, job), mark=service.releasing.state_of(job.artifact),
        release=service.releasing.newest(job.id), states=STATES,
        correctable=service.releasing.correctable(service.visible_to(login.account)),
        qualities=offered(SCALE), labelled=job.labelled, draft=job.draft,
        copy=copy_of(service, job), full=full_clip_job(service, job),
        label_usual=service.settings.release_label == "on", **more,
    )  # fmt: skip


def _may_change(account: Account, job: Job) -> bool:
    own = account.may(Right.ADMIN) or job.owner == account.id
    return own and account.may(Right.SUBMIT)


def _larger(service: Service, login: Login, job: Job) -> Any:
    """The newest upscaling job of this clip."""
    found = references.enlargement(service.database, job.id)
    try:
        return (
            service.show(service.store.get(found, service.visible_to(login.account)))
            if found
            else None
        )
    except UnknownJobError:
        return None  # another key's, or deleted meanwhile


def _smaller(service: Service, login: Login, job: Job) -> Job | None:
    """The job whose clip this one's was enlarged from, by the row of the artifact."""
    row = service.index.find(clip_key(job.artifact)) if job.artifact else None
    parent = service.index.find(str(row[0].parent)) if row else None
    try:
        made_by = parent[0].job if parent else None
        return service.store.get(made_by, service.visible_to(login.account)) if made_by else None
    except UnknownJobError:
        return None  # another key's


@router.get("/compare")
def compare_page(
    request: Request,
    service: ServiceDep,
    login: Viewer,
    clip: Annotated[list[str], Query(max_length=8)] = [],  # noqa: B006
) -> Response:
    """Two clips in step; one clip beside what it was enlarged from, or beside its photograph. What
    has no film yet is its picture.
    """
    if not 1 <= len(clip) <= 2:
        raise ApiError(422, "Choose one clip, to see it beside its photograph, or two.")
    owner = service.visible_to(login.account)
    jobs = [service.store.get(each, owner) for each in clip]
    if len(jobs) == 1 and (smaller := _smaller(service, login, jobs[0])) is not None:
        jobs = [smaller, *jobs]
    marks = {service.releasing.state_of(job.artifact) for job in jobs if job.artifact}
    return render_page(
        request, "compare.html", login, jobs=[service.show(job) for job in jobs],
        drafts=bool(marks - {None, "released"}),
    )  # fmt: skip


@router.post("/clips/{job_id}/{action}")
def act_on_clip(
    request: Request, service: ServiceDep, login: Editor, job_id: JobId, action: str,
    quality: Quality = QUICK, accept_licence: Quality = "",
) -> Response:  # fmt: skip
    """The buttons of a clip's page. quality: for enlarging, as in /api/upload. accept_licence: the
    quality whose licence's limits are met.
    """
    if action not in ACTIONS and action != "upscale":
        raise ApiError(404, "there is no such button")
    service.own(login.account, job_id)
    if action == "upscale":
        return _enlarge(request, service, login, job_id, quality, accept_licence == quality)
    then = ACTIONS[action](service, login, job_id)
    return RedirectResponse(then or f"/clips/{job_id}", 303)


def _enlarge(
    request: Request, service: Service, login: Login, job_id: str, quality: str, accepted: bool
) -> Response:
    """The clip's page again; with a box to tick where the chosen upscaler's licence has limits that
    nobody accepted yet.
    """
    job = service.store.get(job_id)
    check_finished(job, "enlarged")
    if offered(SCALE).get(quality) and not accepted:
        return _page(request, service, login, job, 422, quality=quality, error=LIMITED)
    enlarge_clip(service, login, job, quality, accepted)
    return RedirectResponse(f"/clips/{job_id}", 303)


@router.get("/clips/{job_id}/{action}")
def back_to_clip(login: Viewer, job_id: JobId, action: str) -> Response:
    """Where a login leads whose button was refused before."""
    return RedirectResponse(f"/clips/{job_id}", 303)


def _cancel(service: Service, login: Login, job_id: str) -> None:
    service.store.cancel(job_id)


def _retry(service: Service, login: Login, job_id: str) -> None:
    retry(service, login.account, job_id)


def _full(service: Service, login: Login, job_id: str) -> str:
    made = full_clip(service, login.account, service.store.get(job_id))
    return f"/clips/{made.id}"


def _pin(service: Service, login: Login, job_id: str) -> None:
    service.store.pin(job_id, True)


def _unpin(service: Service, login: Login, job_id: str) -> None:
    service.store.pin(job_id, False)


def _delete(service: Service, login: Login, job_id: str) -> str:
    service.forgetter.forget(job_id, login.account.id)
    return "/"


ACTIONS: dict[str, Callable[[Service, Login, str], str | None]] = {
    "cancel": _cancel, "retry": _retry, "full": _full, "pin": _pin, "unpin": _unpin,
    "delete": _delete,
}  # fmt: skip
"""Each returns where to go then; None for the clip's page."""


def enlarge_clip(
    service: Service, login: Login, job: Job, quality: str = QUICK, accept_licence: bool = False
) -> None:
    """Enlarge a finished clip twice. Pressed again it is the same job; one that failed or was
    cancelled runs again.
    """
    check_finished(job, "enlarged")
    wanted = UpscaleSettings(quality=quality, accept_licence=accept_licence)
    check_settings(wanted)
    source = {"input": artifact_address(str(job.artifact)), "name": "enlarged", PARENT: job.id}
    asked = upscale_settings(wanted)
    cost = service.planning.enlarging(written(job), asked)
    new = NewJob("upscale", job.owner, source | asked, f"upscale {quality}", cost=cost)
    key = f"{OWN_KEYS}enlarge {job.id} {wanted.scale} {wanted.quality}"
    derive(service, login.account, job, new, key)
