"""Errors as problem+json (RFC 9457): type, title, status, detail; nothing of the inside."""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from src.api.answers import without_paths
from src.artifacts.store import StoreAwayError
from src.core.errors import NewsreelError
from src.database.trouble import UnavailableError


class Problem(BaseModel):
    """What every error answers."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ApiError(Exception):
    """An error that only the service has: authentication, quotas, limits."""

    members: Mapping[str, Any] = {}
    """What the answer holds besides, for clients that look for more than the sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(
    status: int, detail: str, title: str = "", headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> JSONResponse:  # fmt: skip
    """The response. members: what its JSON holds besides."""
    told = without_paths(detail)
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": told,
    }
    body |= dict(members or {})
    return JSONResponse(body, status, dict(headers or {}), "application/problem+json")


def install_handlers(app: FastAPI) -> None:
    """Handlers for every kind of error but bugs, which src/api/middleware.py answers."""

    @app.exception_handler(NewsreelError)
    async def expected(request: Request, error: NewsreelError) -> JSONResponse:
        if isinstance(error, UnavailableError):
            logger.error("{}: {}", error, error.reason)
        return problem(error.http_status, str(error), type(error).__name__, retry_of(error))

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return problem(error.status, error.detail, headers=error.headers, members=error.members)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, validation_sentences(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if is_full(error.__cause__):  # FastAPI makes 400 of whatever ends the reading of a form
            return problem(507, FULL)
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(OSError)
    async def disk(request: Request, error: OSError) -> JSONResponse:
        if is_full(error):
            return problem(507, FULL)
        raise error


def bug(error: Exception, method: str, path: str) -> JSONResponse:
    """The answer to what nobody foresaw; the log has it with its traceback,
    under the request's id.
    """
    logger.opt(exception=error).error("a bug while answering {} {}", method, path)
    return problem(500, "the service has a bug; the log has the details under this request's id")


def retry_of(error: NewsreelError) -> dict[str, str]:
    """Headers that say when to try again."""
    return {"Retry-After": "10"} if isinstance(error, UnavailableError | StoreAwayError) else {}


FULL = "the disk is full: the request was not kept"


def is_full(error: BaseException | None) -> bool:
    """Whether it says that a disk has no room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def validation_sentences(error: RequestValidationError) -> str:
    """What is wrong with a request, field by field."""
    return "; ".join(_sentence(item) for item in error.errors()[:5])


def _sentence(item: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in item["loc"] if part != "body")
    return f"{place}: {item['msg']}" if place else item["msg"]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses answer a problem."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }
