"""What every page of the editors' site shares: how it is rendered, whose it is, and what an error
looks like.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from starlette.types import Scope

from src.accounts.accounts import Login
from src.accounts.rights import Right
from src.api import plain
from src.api.answers import without_paths
from src.api.origins import SAFE, local_path
from src.api.problems import ApiError, validation_sentences
from src.api.security import ServiceDep, check_csrf, login_of
from src.core.errors import NewsreelError

pages = Jinja2Templates(Path(__file__).parent / "templates")
pages.env.globals["plain"] = plain
pages.env.trim_blocks = pages.env.lstrip_blocks = True
TITLES = {
    401: "Log in first",
    403: "That is not allowed",
    404: "That is not here",
    409: "That cannot be done now",
    410: "That was withdrawn",
    413: "That is too large",
    429: "Too much at once",
    503: "Not available right now",
    507: "The disk is full",
}
"""Headings of pages that tell what went wrong."""


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
                login = _login_if_any(request)
                return render_problem(request, login, status_of(error), error_in_words(error))

        return answer


def _login_if_any(request: Request) -> Login | None:
    """For the frame of an error; where even that cannot be found, the frame goes without."""
    try:
        return login_of(request, request.app.state.service)
    except (NewsreelError, ApiError):
        return None


def render_problem(
    request: Request, login: Login | None, status: int, sentence: str
) -> HTMLResponse:
    """An error as a page."""
    heading = TITLES.get(status, "That did not work")
    return render_page(
        request, "problem.html", login, status, error=sentence, heading=heading, code=status
    )


def problem_page(scope: Scope, status: int, sentence: str) -> bytes:
    """The same for whatever answers problem+json to a browser."""
    return bytes(render_problem(Request(scope), None, status, sentence).body)


Expected = NewsreelError | ApiError | RequestValidationError


def status_of(error: Expected) -> int:
    """The HTTP status that the API answers for it."""
    return error.status if isinstance(error, ApiError) else getattr(error, "http_status", 422)


def error_in_words(error: Expected) -> str:
    """One sentence, as the page says it: the form's field `image` is the photograph there."""
    invalid = isinstance(error, RequestValidationError)
    text = without_paths(validation_sentences(error) if invalid else str(error))
    text = text.replace("image ", "the photograph ", 1) if text.startswith("image ") else text
    return text[:1].upper() + text[1:]


class LoginNeeded(ApiError):
    """The browser is sent to the login, and from there to where it wanted to look."""

    def __init__(self, request: Request) -> None:
        wanted = self._wanted(request)
        back = f"?{urlencode({'next': wanted})}" if wanted != "/" else ""
        super().__init__(303, "log in first", {"Location": f"/login{back}"})

    @staticmethod
    def _wanted(request: Request) -> str:
        """The page that was asked for; for a form, the page that it is on."""
        if request.method in SAFE:
            return request.url.path + (f"?{request.url.query}" if request.url.query else "")
        page = urlsplit(request.headers.get("Referer", ""))
        return local_path(page.path + (f"?{page.query}" if page.query else "") or "/")


def find_login(request: Request, service: ServiceDep) -> Login:
    """The browser's login. Raises LoginNeeded."""
    login = login_of(request, service)
    if login is None:
        raise LoginNeeded(request)
    return login


def _form_login(request: Request, service: ServiceDep, csrf: Annotated[str, Form()] = "") -> Login:
    """The login of a form, which carries the page's token."""
    login = find_login(request, service)
    check_csrf(request, login, csrf)
    return login


Viewer = Annotated[Login, Depends(find_login)]
Sender = Annotated[Login, Depends(_form_login)]


def _editor(request: Request, login: Sender) -> Login:
    if request.method not in SAFE and not login.account.may(Right.SUBMIT):
        raise ApiError(403, "this key may look, but not submit")
    return login


Editor = Annotated[Login, Depends(_editor)]


def render_page(
    request: Request, name: str, login: Login | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page with what every page shows."""
    settings = request.app.state.service.settings
    context = {"login": login, "open_service": settings.auth == "off",
               "approval": settings.approval == "on"} | values  # fmt: skip
    response = pages.TemplateResponse(request, name, context, status)
    response.headers["Cache-Control"] = "no-store"
    return response
