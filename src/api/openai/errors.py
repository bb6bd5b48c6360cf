"""Errors in the shape that OpenAI's clients read: {"error": {message, type, param, code}}.

Routes and handlers raise what they raise elsewhere. Whatever answers a problem under /v1, also the
middleware, an unknown path and a bug, is put into that shape on its way out.
"""

import json
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

from src.api.problems import ApiError

PREFIX = "/v1"
PLACE = re.compile(r"(?:(?:query|path|header|form)\.)?([\w.\[\]-]{1,80}): ")
STATUSES = {409: 400, 422: 400}
"""Clients would repeat what answers 409; bad input is 400 there."""
KINDS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    409: ("invalid_request_error", "conflict"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "service_unavailable"),
    507: ("server_error", "disk_full"),
}
"""type and code by the problem's status."""
NO_RETRY = {"MissingWeightsError"}
"""Problems of the server that a second try does not mend."""


class VideoError(ApiError):
    """An error with what these clients look for. code: a word for programs. param: the field that
    is wrong.
    """

    def __init__(
        self, status: int, detail: str, code: str, param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(status, detail, headers)
        self.members = {"code": code, "param": _printable(param)}


def _printable(param: str | None) -> str | None:
    """Names come from strangers, and JSON may escape half a character."""
    return param if param is None else param[:80].encode("ascii", "backslashreplace").decode()


def is_theirs(scope: Scope) -> bool:
    """Whether the path lies under /v1."""
    path: str = scope["path"]
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def in_their_shape(send: Send) -> Send:
    """`send`, with problems put into OpenAI's shape."""
    held: list[Message] = []

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            held.append(message)
        elif not held:
            await send(message)
        elif not message.get("more_body"):
            start, body = _translated(held[0], message.get("body", b""))
            await send(start)
            await send({"type": "http.response.body", "body": body})

    return sending


def _is_problem(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return kind.startswith("application/problem+json")


def _translated(start: Message, body: bytes) -> tuple[Message, bytes]:
    """The same answer in the other shape; without a body (HEAD) only its head."""
    status = start["status"]
    told = json.loads(body) if body else {}
    made = json.dumps(error_body(status, told)).encode() if body else b""
    changed = start | {"status": STATUSES.get(status, status), "headers": list(start["headers"])}
    headers = MutableHeaders(scope=changed)
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(made))
    if told.get("title") in NO_RETRY:
        headers["x-should-retry"] = "false"
    return changed, made


def error_body(status: int, problem: dict[str, Any]) -> dict[str, Any]:
    """The JSON of an error, from a problem's."""
    shown = status if status in KINDS or status >= 500 else 400
    kind, code = KINDS.get(shown, ("server_error", "internal_error"))
    detail = problem.get("detail", "")
    place = PLACE.match(detail)
    named = place[1] if status == 422 and place else None
    return {
        "error": {
            "message": detail,
            "type": kind,
            "param": problem.get("param", named),
            "code": problem.get("code", code),
        }
    }
