"""Problems for people: where a browser shows the answer itself, a page in place of JSON.

Every error that the service answers is problem+json, from whichever place it comes; here, around
all of them, those that a browser asked for as a page become one.
"""

import json
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

Page = Callable[[Scope, int, str], bytes]
PROBLEM = b"application/problem+json"
SHOWN = ("navigate", "")
"""Values of Sec-Fetch-Mode that are, or may be, a browser going to an address."""


def wants_page(scope: Scope) -> bool:
    """Whether a browser will show the answer to its user: it names HTML, and no script asks."""
    headers = Headers(scope=scope)
    html = "text/html" in headers.get("accept", "")
    return html and headers.get("sec-fetch-mode", "") in SHOWN


def framed(scope: Scope, send: Send, page: Page) -> Send:
    """`send`, with problems made into pages where a person looks. page: renders one, in UTF-8."""
    if not wants_page(scope):
        return send
    held: list[Message] = []

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            held.append(message)
        elif not held:
            await send(message)
        elif not message.get("more_body"):
            start = held[0]
            body = page(scope, start["status"], _detail(message.get("body", b"")))
            await send(_as_html(start, body))
            await send({"type": "http.response.body", "body": body})

    return sending


def _is_problem(message: Message) -> bool:
    found = dict(message.get("headers", []))
    is_problem = found.get(b"content-type", b"").startswith(PROBLEM)
    return is_problem and message["status"] >= 400


def _detail(body: bytes) -> str:
    return str(json.loads(body)["detail"]) if body else ""


def _as_html(start: Message, body: bytes) -> Message:
    changed = start | {"headers": list(start["headers"])}
    headers = MutableHeaders(scope=changed)
    headers["Content-Type"] = "text/html; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Cache-Control"] = "no-store"
    return changed
