"""The page for editors: server-rendered; forms work without scripts, scripts add dropping, progress and previews."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates

from src.api.answers import without_paths
from src.api.curve import curve
from src.api.forms import PRIORITIES, GenerateForm
from src.api.generate import submit
from src.api.jobs import JobId, retry
from src.api.limits import BREAKING
from src.api.origins import SAFE, local_path
from src.api.problems import ApiError, sentences
from src.api.schemas import view
from src.api.security import COOKIE, LOGIN_COOKIE, ServiceDep, check_csrf, check_login_token, login_of
from src.api.service import Service
from src.api.upscale import UpscaleSettings, check_settings
from src.core.config import validate
from src.core.errors import BadInputError, NewsreelError
from src.core.prompts import load_templates
from src.jobs import references
from src.jobs.accounts import LOGIN_S, Login, Role
from src.jobs.model import Job, NewJob, State
from src.jobs.store import UnknownJobError

pages = Jinja2Templates(FilePath(__file__).parent / "templates")
PAGE = 24


class PageRoute(APIRoute):
    """Errors are pages too: whoever presses a button must not meet JSON."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except LoginNeeded:
                raise
            except (NewsreelError, ApiError, RequestValidationError) as error:
                return render(request, "problem.html", None, status_of(error), error=told(error))

        return answer


router = APIRouter(include_in_schema=False, route_class=PageRoute)
Expected = NewsreelError | ApiError | RequestValidationError


def status_of(error: Expected) -> int:
    """The HTTP status that the API answers for it."""
    return error.status if isinstance(error, ApiError) else getattr(error, "http_status", 422)


def told(error: Expected) -> str:
    """One sentence."""
    return without_paths(sentences(error) if isinstance(error, RequestValidationError) else str(error))


class LoginNeeded(ApiError):
    """The browser is sent to the login, and from there to where it wanted to look."""

    def __init__(self, request: Request) -> None:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?{urlencode({'next': wanted})}" if request.method in SAFE and wanted != "/" else ""
        super().__init__(303, "log in first", {"Location": f"/login{back}"})


def _login(request: Request, service: ServiceDep) -> Login:
    login = login_of(request, service)
    if login is None:
        raise LoginNeeded(request)
    return login


def _form_login(request: Request, service: ServiceDep, csrf: Annotated[str, Form()] = "") -> Login:
    """The login of a form, which carries the page's token."""
    login = _login(request, service)
    check_csrf(request, login, csrf)
    if request.method not in SAFE and not login.account.role.allows(Role.SUBMIT):
        raise ApiError(403, "this key may look, but not submit")
    return login


Viewer = Annotated[Login, Depends(_login)]
Editor = Annotated[Login, Depends(_form_login)]


def render(request: Request, name: str, login: Login | None, status: int = 200, **values: Any) -> HTMLResponse:
    """A page with what every page shows."""
    open_service = request.app.state.service.settings.auth == "off"
    context = {"login": login, "open_service": open_service} | values
    response = pages.TemplateResponse(request, name, context, status)
    response.headers["Cache-Control"] = "no-store"
    return response


Next = Annotated[str, Query(max_length=500)]


@router.get("/login")
def login_page(request: Request, next: Next = "/") -> Response:
    return _login_form(request, next)


def _login_form(request: Request, wanted: str, status: int = 200, **values: Any) -> Response:
    """The form, with a token that its page's cookie holds too."""
    token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(24)
    response = render(request, "login.html", None, status, token=token, next=local_path(wanted), **values)
    _set_cookie(request, response, LOGIN_COOKIE, token)
    return response


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """For this site's pages; it comes along where a link of another site leads here."""
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, int(LOGIN_S), httponly=True, samesite="lax", secure=secure)


@router.post("/login")
def log_in(
    request: Request, service: ServiceDep, key: Annotated[str, Form()] = "", csrf: Annotated[str, Form()] = "",
    next: Annotated[str, Form(max_length=500)] = "/",
) -> Response:  # fmt: skip
    service.origins.check(request)
    check_login_token(request, csrf)
    account = service.accounts.find(key.strip())
    if account is None:
        return _login_form(request, next, 401, error="This key is not known, or was revoked.")
    cookie, _ = service.accounts.log_in(account)
    response = RedirectResponse(local_path(next), 303)
    _set_cookie(request, response, COOKIE, cookie)
    return response


@router.post("/logout")
def log_out(request: Request, service: ServiceDep, login: Editor) -> Response:
    service.accounts.log_out(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


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
