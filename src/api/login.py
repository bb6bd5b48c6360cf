"""Logging browsers in and out: a key in a form, then a cookie."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from src.accounts.accounts import LOGIN_S
from src.api.origins import local_path
from src.api.security import COOKIE, LOGIN_COOKIE, ServiceDep, check_csrf, check_login_token
from src.api.site import PageRoute, Viewer, render_page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Next = Annotated[str, Query(max_length=500)]


@router.get("/login")
def login_page(request: Request, next: Next = "/") -> Response:
    return _login_form(request, next)


def _login_form(request: Request, wanted: str, status: int = 200, **values: Any) -> Response:
    """The form, with a token that its page's cookie holds too."""
    token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(24)
    response = render_page(
        request, "login.html", None, status, token=token, next=local_path(wanted), **values
    )
    _set_cookie(request, response, LOGIN_COOKIE, token)
    return response


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """For this site's pages; it comes along where a link of another site leads here."""
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, int(LOGIN_S), httponly=True, samesite="lax", secure=secure)


@router.post("/login")
def log_in(
    request: Request, service: ServiceDep, key: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "", next: Annotated[str, Form(max_length=500)] = "/",
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
def log_out(
    request: Request, service: ServiceDep, login: Viewer, csrf: Annotated[str, Form()] = ""
) -> Response:
    check_csrf(request, login, csrf)
    service.accounts.log_out(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response
