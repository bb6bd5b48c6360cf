"""The studio: the form for clips, and the list below it. Works by forms alone; scripts add
dropping, upload progress and news.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile as Sent

from src.accounts.accounts import Account, Login
from src.api.board import Filters, board
from src.api.forgetting import kept_for
from src.api.forms import PRIORITIES
from src.api.generate import submit
from src.api.limits import BREAKING
from src.api.problems import ApiError
from src.api.security import ServiceDep
from src.api.service import Service
from src.api.site import Editor, PageRoute, Viewer, error_in_words, render_page, status_of
from src.api.wording import TAKES, ChoiceNeededError, Typed, typed_again, typed_from
from src.core.addresses import name_of
from src.core.errors import BadInputError, NewsreelError
from src.core.prompts import load_templates
from src.jobs.model import Job

router = APIRouter(include_in_schema=False, route_class=PageRoute)
AGAIN = Annotated[str, Query(pattern="^([0-9a-f]{21})?$")]


@router.get("/")
def studio(
    request: Request, service: ServiceDep, login: Viewer, filters: Annotated[Filters, Depends()],
    again: AGAIN = "",
) -> Response:  # fmt: skip
    """The form, and the jobs below it. again: the job whose request the form begins with."""
    typed = Typed()
    if again:
        typed = typed_again(
            service.show(service.store.get(again, service.visible_to(login.account)))
        )
    return _studio(request, service, login, typed, filters)


def _studio(
    request: Request,
    service: Service,
    login: Login,
    typed: Typed,
    filters: Filters,
    status: int = 200,
    **more: Any,
) -> Response:
    return render_page(
        request, "studio.html", login, status, board=board(service, login.account, filters),
        typed=typed, templates=load_templates(), priorities=_priorities(login), takes=TAKES, **more,
    )  # fmt: skip


def _priorities(login: Login) -> list[str]:
    """What this key may ask for."""
    return [name for name, step in PRIORITIES.items() if step < BREAKING or login.account.breaking]


@router.post("/submit")
async def submit_page(request: Request, service: ServiceDep, login: Editor) -> Response:
    """The form's target; what is wrong is said above the form, with what was typed still in it."""
    sent = await request.form()
    typed = typed_from(sent)
    try:
        files = [file for file in sent.getlist("image") if isinstance(file, Sent) and file.filename]
        made = await _submit_all(service, login.account, files, typed)
    except (NewsreelError, ApiError) as error:
        choice = isinstance(error, ChoiceNeededError)
        values = {"error": error_in_words(error), "choice": choice}
        return await run_in_threadpool(
            _studio, request, service, login, typed, Filters(), status_of(error), **values
        )
    return RedirectResponse(f"/clips/{made[0].id}" if len(made) == 1 else "/#clips", 303)


@router.get("/submit")
def back_to_studio(login: Viewer) -> Response:
    """Where a login leads whose form was refused before."""
    return RedirectResponse("/", 303)


async def _submit_all(
    service: Service, account: Account, files: list[UploadFile], typed: Typed
) -> list[Job]:
    """A job for each photograph and take. What was stored before an error stays, and is told."""
    forms, made = typed.forms(), []
    files = files or [await run_in_threadpool(_photograph_again, service, account, typed)]
    for file in files:
        for form in forms:
            await file.seek(0)
            try:
                made.append(await submit(service, account, file, form, None))
            except (NewsreelError, ApiError) as error:
                raise _with_count(error, len(made), len(files) * len(forms)) from None
    return made


def _with_count(
    error: NewsreelError | ApiError, made: int, wanted: int
) -> NewsreelError | ApiError:
    if not made:
        return error
    return ApiError(
        status_of(error),
        f"{made} of {wanted} clips are on their way; then: {error_in_words(error)}",
    )


def _photograph_again(service: Service, account: Account, typed: Typed) -> UploadFile:
    """The photograph of an earlier job. Raises BadInputError where there is none, and no file was
    sent.
    """
    if not typed.photograph_of:
        raise BadInputError("Choose a photograph first.")
    job = service.store.get(typed.photograph_of, service.visible_to(account))
    key = kept_for(job)
    if key is None or service.files.look(key) is None:
        raise ApiError(409, "The photograph of that clip is not stored any more; choose it again.")
    return UploadFile(service.files.open(key), filename=name_of(key))
