"""Who asks: API keys in a header, or a browser's login cookie with a token against
forged requests.
"""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from src.accounts.accounts import OPEN, Account, Login
from src.accounts.rights import Right, Role
from src.api.origins import SAFE
from src.api.problems import ApiError
from src.api.service import Service, service_of

COOKIE = "newsreel_session"
LOGIN_COOKIE = "newsreel_login"
CSRF_HEADER = "X-CSRF-Token"

_bearer = HTTPBearer(auto_error=False, description="An API key: python -m src.api_keys create")
_header = APIKeyHeader(name="X-API-Key", auto_error=False)
ServiceDep = Annotated[Service, Depends(service_of)]


def open_account(service: Service) -> Account:
    """Everybody, where the service is open."""
    return Account(
        OPEN,
        OPEN,
        Role.ADMIN.rights,
        0.0,
        None,
        service.settings.per_minute,
        service.settings.per_day,
        True,
    )


def login_of(request: Request, service: Service) -> Login | None:
    """The browser's login, if its cookie is good."""
    service.origins.check(request)
    if service.settings.auth == "off":
        return Login(open_account(service), "open")
    cookie = request.cookies.get(COOKIE)
    return service.accounts.session(cookie) if cookie else None


async def _account(
    request: Request,
    service: ServiceDep,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    key: Annotated[str | None, Depends(_header)],
) -> Account:
    secret = bearer.credentials if bearer else key
    if secret and service.settings.auth == "on":
        account = service.account_of(secret)
        if account is None:
            raise ApiError(
                401, "this API key is not known, or was revoked", {"WWW-Authenticate": "Bearer"}
            )
        return account
    login = login_of(request, service)
    if login is None:
        raise ApiError(
            401, "give an API key: Authorization: Bearer nr_...", {"WWW-Authenticate": "Bearer"}
        )
    if service.settings.auth == "on":
        check_csrf(request, login)
    return login.account


def is_known(request: HTTPConnection, service: Service) -> bool:
    """Whether its key or its cookie is good now; it may have been revoked since the
    request began.
    """
    if service.settings.auth == "off":
        return True
    scheme, secret = get_authorization_scheme_param(request.headers.get("Authorization"))
    secret = secret if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    cookie = request.cookies.get(COOKIE)
    if secret:
        return service.account_of(secret) is not None
    return cookie is not None and service.accounts.session(cookie) is not None


def check_csrf(request: Request, login: Login, sent: str | None = None) -> None:
    """A browser that changes something must send the token of its page, which other sites cannot
    read.
    """
    sent = sent or request.headers.get(CSRF_HEADER, "")
    if request.method not in SAFE and not hmac.compare_digest(sent.encode(), login.csrf.encode()):
        raise ApiError(403, f"the {CSRF_HEADER} header does not match this login; reload the page")


def check_login_token(request: Request, sent: str) -> None:
    """The login form carries the token of its page's cookie: another site's page cannot log a
    browser in.
    """
    token = request.cookies.get(LOGIN_COOKIE, "")
    if not token or not hmac.compare_digest(sent.encode(), token.encode()):
        raise ApiError(
            403, "this login page is old, or the browser keeps no cookies; load the page again"
        )


def check_right(account: Account, right: Right) -> None:
    """Raises ApiError 403 for a key that does not have it."""
    if not account.may(right):
        has = ", ".join(sorted(account.rights)) or "nothing"
        raise ApiError(403, f"this key may {has}; it needs the right to {WORDS[right]}")


WORDS = {right: right.value for right in Right} | {Right.ADMIN: "see and change everybody's jobs"}


def needs(right: Right) -> object:
    """A dependency: an account that has this right."""

    async def check(account: Annotated[Account, Depends(_account)]) -> Account:
        check_right(account, right)
        return account

    return Depends(check)


Reader = Annotated[Account, needs(Right.READ)]
Submitter = Annotated[Account, needs(Right.SUBMIT)]
Approver = Annotated[Account, needs(Right.APPROVE)]
Releaser = Annotated[Account, needs(Right.RELEASE)]
Admin = Annotated[Account, needs(Right.ADMIN)]
