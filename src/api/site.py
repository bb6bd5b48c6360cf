"""What every page of the editors' site shares: how it is rendered, whose it is, and what an error
looks like.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates

from src.api.answers import without_paths
from src.api.origins import SAFE
from src.api.problems import ApiError, sentences
from src.api.security import ServiceDep, check_csrf, login_of
from src.core.errors import NewsreelError
from src.jobs.accounts import Login, Role

pages = Jinja2Templates(Path(__file__).parent / "templates")


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


Expected = NewsreelError | ApiError | RequestValidationError


def status_of(error: Expected) -> int:
    """The HTTP status that the API answers for it."""
    return error.status if isinstance(error, ApiError) else getattr(error, "http_status", 422)


def told(error: Expected) -> str:
    """One sentence."""
    return without_paths(
        sentences(error) if isinstance(error, RequestValidationError) else str(error)
    )


class LoginNeeded(ApiError):
    """The browser is sent to the login, and from there to where it wanted to look."""

    def __init__(self, request: Request) -> None:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?{urlencode({'next': wanted})}" if request.method in SAFE and wanted != "/" else ""
        super().__init__(303, "log in first", {"Location": f"/login{back}"})


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
    if request.method not in SAFE and not login.account.role.allows(Role.SUBMIT):
        raise ApiError(403, "this key may look, but not submit")
    return login


Viewer = Annotated[Login, Depends(find_login)]
Editor = Annotated[Login, Depends(_form_login)]


def render(
    request: Request, name: str, login: Login | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page with what every page shows."""
    open_service = request.app.state.service.settings.auth == "off"
    context = {"login": login, "open_service": open_service} | values
    response = pages.TemplateResponse(request, name, context, status)
    response.headers["Cache-Control"] = "no-store"
    return response
