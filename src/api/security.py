"""Who asks: API keys in a header, or a browser's login cookie with a token against forged requests."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from src.api.problems import ApiError
from src.api.service import Service, service_of
from src.jobs.accounts import Account, Login, Role

COOKIE = "newsreel_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE = {"GET", "HEAD", "OPTIONS"}

_bearer = HTTPBearer(auto_error=False, description="An API key: python -m src.api_keys create")
_header = APIKeyHeader(name="X-API-Key", auto_error=False)
ServiceDep = Annotated[Service, Depends(service_of)]


def open_account(service: Service) -> Account:
    """Everybody, where the service is open."""
    return Account("open", "open", Role.ADMIN, 0.0, None, service.settings.per_minute, service.settings.per_day, True)


def login_of(request: Request, service: Service) -> Login | None:
    """The browser's login, if its cookie is good."""
    if service.settings.auth == "off":
        check_site(request)
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
            raise ApiError(401, "this API key is not known, or was revoked", {"WWW-Authenticate": "Bearer"})
        return account
    login = login_of(request, service)
    if login is None:
        raise ApiError(401, "give an API key: Authorization: Bearer nr_...", {"WWW-Authenticate": "Bearer"})
    if service.settings.auth == "on":
        check_csrf(request, login)
    return login.account


def is_known(request: HTTPConnection, service: Service) -> bool:
    """Whether its key or its cookie is good now; it may have been revoked since the request began."""
    if service.settings.auth == "off":
        return True
    scheme, secret = get_authorization_scheme_param(request.headers.get("Authorization"))
    secret = secret if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    cookie = request.cookies.get(COOKIE)
    if secret:
        return service.account_of(secret) is not None
    return cookie is not None and service.accounts.session(cookie) is not None


def check_site(request: Request) -> None:
    """An open service, and the login, have no token that another site's page could not know: browsers say who asks."""
    if request.method not in SAFE and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise ApiError(403, "another site's page may not do this; open the service's own page")


def check_csrf(request: Request, login: Login, sent: str | None = None) -> None:
    """A browser that changes something must send the token of its page, which other sites cannot read."""
    sent = sent or request.headers.get(CSRF_HEADER, "")
    if request.method not in SAFE and not hmac.compare_digest(sent.encode(), login.csrf.encode()):
        raise ApiError(403, f"the {CSRF_HEADER} header does not match this login; reload the page")


def needs(role: Role) -> object:
    """A dependency: an account of at least this role."""

    async def check(account: Annotated[Account, Depends(_account)]) -> Account:
        if not account.role.allows(role):
            raise ApiError(403, f"this key has the role {account.role}; {role} is needed")
        return account

    return Depends(check)


Reader = Annotated[Account, needs(Role.READ)]
Submitter = Annotated[Account, needs(Role.SUBMIT)]
Admin = Annotated[Account, needs(Role.ADMIN)]
