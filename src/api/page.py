"""The page for editors: server-rendered; forms work without scripts, scripts add dropping, progress and previews."""

import json
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from src.api.curve import curve
from src.api.forms import PRIORITIES, GenerateForm
from src.api.generate import submit
from src.api.jobs import JobId, retry
from src.api.limits import BREAKING
from src.api.problems import ApiError
from src.api.schemas import view
from src.api.security import ServiceDep
from src.api.service import Service
from src.api.site import Editor, PageRoute, Viewer, render, status_of, told
from src.api.upscale import UpscaleSettings, check_settings
from src.core.config import validate
from src.core.errors import BadInputError, NewsreelError
from src.core.prompts import load_templates
from src.jobs import references
from src.jobs.accounts import Login
from src.jobs.model import Job, NewJob, State
from src.jobs.store import UnknownJobError

PAGE = 24
router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
def studio(
    request: Request,
    service: ServiceDep,
    login: Viewer,
    state: Annotated[State | None, Query()] = None,
    before: Annotated[str | None, Query(pattern="^[0-9a-f]{21}$")] = None,
) -> Response:
    """The form, and the jobs below it."""
    return _studio(request, service, login, state=state, before=before)


def _studio(
    request: Request, service: Service, login: Login, status: int = 200, state: State | None = None,
    before: str | None = None, **values: Any,
) -> Response:  # fmt: skip
    jobs = service.store.page(service.visible_to(login.account), state, before, PAGE)
    following = jobs[-1].id if len(jobs) == PAGE else None
    return render(
        request, "studio.html", login, status, jobs=[view(job) for job in jobs], templates=load_templates(),
        states=list(State), state=state, following=following, priorities=_priorities(login), **values,
    )  # fmt: skip


def _priorities(login: Login) -> list[str]:
    """What this key may ask for."""
    return [name for name, step in PRIORITIES.items() if step < BREAKING or login.account.breaking]


@router.post("/submit")
async def submit_page(
    request: Request,
    service: ServiceDep,
    login: Editor,
    image: Annotated[UploadFile, File()],
    prompt: Annotated[str, Form()] = "",
    template: Annotated[str, Form()] = "",
    slots: Annotated[str, Form()] = "",
    mode: Annotated[str, Form()] = "",
    seed: Annotated[str, Form()] = "",
    priority: Annotated[str, Form()] = "normal",
) -> Response:
    """The form's target; what is wrong is said above the form, with what was typed still in it."""
    typed = {"prompt": prompt, "template": template, "slots": slots, "mode": mode, "seed": seed, "priority": priority}
    try:
        wording = (
            {"template": template, "set": filled(slots)} if template and not prompt.strip() else {"prompt": prompt}
        )
        form = validate(wording | {"mode": mode, "seed": seed, "priority": priority}, GenerateForm, "form")
        job = await submit(service, login.account, image, form, None)
    except (NewsreelError, ApiError) as error:
        values = {"error": told(error), "typed": typed}
        return await run_in_threadpool(_studio, request, service, login, status_of(error), **values)
    return RedirectResponse(f"/clips/{job.id}", 303)


def filled(text: str) -> str:
    """What fills a template's slots, SLOT=VALUE on a line each, as the form's JSON."""
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise BadInputError("write what fills a slot as SLOT=VALUE, each on a line of its own, such as year=1969")
    return json.dumps({slot.strip(): value.strip() for slot, _, value in pairs})


@router.get("/clips/{job_id}")
def clip_page(request: Request, service: ServiceDep, login: Viewer, job_id: JobId) -> Response:
    """One job: progress, then the clip with its score, curve and warnings, beside its enlarged version."""
    job = service.store.get(job_id, service.visible_to(login.account))
    report = (job.result or {}).get("report") or {}
    return render(
        request, "clip.html", login, job=view(job), report=report, curve=curve(report.get("curve") or []),
        larger=_larger(service, login, job), after=service.store.events(job.id)[-1:],
    )  # fmt: skip


def _larger(service: Service, login: Login, job: Job) -> Any:
    """The newest upscaling job of this clip."""
    found = references.enlargement(service.database, job.id)
    try:
        return view(service.store.get(found, service.visible_to(login.account))) if found else None
    except UnknownJobError:
        return None  # another key's, or deleted meanwhile


@router.post("/clips/{job_id}/{action}")
def act(service: ServiceDep, login: Editor, job_id: JobId, action: str) -> Response:
    """The buttons of a clip's page."""
    owner = service.visible_to(login.account)
    if action == "cancel":
        service.store.cancel(job_id, owner)
    elif action == "retry":
        retry(service, login.account, job_id)
    elif action == "upscale":
        _upscale(service, login, service.store.get(job_id, owner))
    else:
        raise ApiError(404, "there is no such button")
    return RedirectResponse(f"/clips/{job_id}", 303)


def _upscale(service: Service, login: Login, job: Job) -> None:
    """Enlarge a finished clip twice. Pressed again it is the same job; one that failed or was
    cancelled runs again.
    """
    if job.state is not State.COMPLETED or job.artifact is None:
        raise BadInputError(f"job {job.id} is {job.state}; only finished clips are enlarged")
    wanted = UpscaleSettings(quality="fast")
    key = f"enlarge {job.id} {wanted.scale} {wanted.quality}"
    earlier = service.store.with_key(job.owner, key)
    if earlier is not None and earlier.state not in (State.FAILED, State.CANCELLED):
        return
    check_settings(wanted)
    service.admit(login.account)
    source = {"input": str(service.folder / job.artifact), "name": "enlarged", "of": job.id}
    new = NewJob("upscale", job.owner, source | wanted.model_dump(), "upscale fast", idempotency_key=key)
    made = service.submit(replace(new, cost=job.cost * wanted.scale**2), login.account)
    if made.state in (State.FAILED, State.CANCELLED):
        service.store.retry(made.id)
    if service.store.many([job.id]).get(job.id) is None:  # deleted while this one was stored
        service.forgetter.forget(service.store.cancel(made.id).id)
        raise ApiError(409, "this clip was deleted a moment ago; there is nothing to enlarge")
