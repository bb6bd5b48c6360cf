"""Around every request: an id and a log line, a limit on what is read,
headers that browsers obey.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.framed import Page, framed
from src.api.openai.errors import in_their_shape, is_theirs
from src.api.origins import Origins
from src.api.problems import bug, problem, retry_of
from src.console.tracing import span
from src.core.errors import NewsreelError

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:{links}; media-src 'self' blob:{links}; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}  # fmt: skip
# With no-referrer browsers would send `Origin: null` with our own forms, too.
# bytes that are read before the key is looked at: forms are parsed before their route runs
STRANGERS = 64 * 1024
CLOSING = {"Connection": "close"}
CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']*)", re.I)
RANGE = re.compile(rb"bytes=(.+)", re.I)
SPAN = re.compile(rb"(\d{1,18})\s*-\s*(\d{1,18})?|-\s*\d{1,18}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LEFT = 499
"""In the figures alone: the client left while it sent, so that nothing was answered."""


class TooLarge(Exception):
    """The body is larger than the service reads."""


def answer_of(error: Exception, method: str, path: str) -> ASGIApp:
    """The answer to what no handler knew; errors of the tree come here where reading the request
    raised them.
    """
    if isinstance(error, NewsreelError):
        return problem(error.http_status, str(error), type(error).__name__, retry_of(error))
    return bug(error, method, path)


def _without_odd_range(scope: Scope) -> Scope:
    """Ranges of other units than bytes, and what is no range, are ignored, as RFC 9110 wants it."""
    odd = [pair for pair in scope["headers"] if pair[0] == b"range" and not _is_range(pair[1])]
    return (
        scope | {"headers": [pair for pair in scope["headers"] if pair not in odd]}
        if odd
        else scope
    )


def _is_range(value: bytes) -> bool:
    """Whether it names bytes, and no part of it ends before it begins."""
    named = RANGE.fullmatch(value.strip())
    spans = [SPAN.fullmatch(part.strip()) for part in named[1].split(b",")] if named else []
    return bool(spans) and all(
        span and (span[2] is None or int(span[1]) <= int(span[2])) for span in spans
    )


class RequestMiddleware:
    """One middleware in place of three: pure ASGI, so that streams stream."""

    def __init__(
        self, app: ASGIApp, limit: int, observe: Callable[[str, int, float], None],
        known: Callable[[Scope], bool], origins: Origins, page: Page, links: str | None = None,
    ) -> None:  # fmt: skip
        """links: where files are served from besides this service."""
        self.app, self.limit, self.observe, self.known, self.origins = (
            app,
            limit,
            observe,
            known,
            origins,
        )
        self.page = page
        policy = POLICY.format(links=f" {links}" if links else "")
        self.headers = HEADERS | {"Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status, started = time.perf_counter(), 500, False
        asked_by = Headers(scope=scope)
        asked = asked_by.get("x-request-id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                self._add_headers(message, request_id)
            await send(message)

        if is_theirs(scope):
            shown = in_their_shape(sending)
        else:
            shown = framed(scope, sending, self.page)
        with logger.contextualize(request=request_id):
            try:
                with span(f"{scope['method']} {scope['path']}", asked_by.get("traceparent")):
                    await self._answer(scope, receive, shown)
            except ClientDisconnect:
                status = LEFT
            except Exception as error:
                answer = answer_of(error, scope["method"], scope["path"])
                if started:
                    raise
                await answer(scope, receive, shown)
            finally:
                seconds = time.perf_counter() - begin
                self.observe(scope["method"], status, seconds)
                logger.debug(
                    "{} {} {} {:.1f} ms", scope["method"], scope["path"], status, 1000 * seconds
                )

    def _add_headers(self, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-Id"] = request_id
        for name, value in self.headers.items():
            headers.setdefault(name, value)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Names that are not ours are refused, and charsets but UTF-8: some that Python knows make
        text that no answer could carry.
        """
        headers = Headers(scope=scope)
        charset = CHARSET.search(headers.get("content-type", ""))
        if self.origins.strict and not self.origins.allows_host(headers.get("host", "")):
            await problem(403, "this is no name of this service; NEWSREEL_HOSTS lists others")(
                scope, receive, send
            )
        elif charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            await problem(415, "send text in UTF-8, without another charset")(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._head(_without_odd_range(scope | {"method": "GET"}), receive, send)
        else:
            await self._limited(_without_odd_range(scope), receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What GET would answer, without its body:
        the app is stopped once it has begun to answer.
        """
        begun = asyncio.Event()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not begun.is_set():
                await send(message)
                await send({"type": "http.response.body"})
                begun.set()

        task = asyncio.create_task(self._limited(scope, receive, sending))
        begins = asyncio.create_task(begun.wait())
        await asyncio.wait((task, begins), return_when=asyncio.FIRST_COMPLETED)
        begins.cancel()
        if begun.is_set():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body as it arrives, whatever its Content-Length says;
        a stranger's ends early.
        """
        headers, read, started, exceeded, stranger = Headers(scope=scope), 0, False, False, None
        declared = headers.get("content-length", "0")

        async def receiving() -> Message:
            nonlocal read, exceeded, stranger
            message = await receive()
            read += len(message.get("body", b""))
            if read > STRANGERS and stranger is None:
                stranger = not self.known(scope)
            if read > self.limit or stranger:
                exceeded = True
                raise TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            if not exceeded or started:  # what the app makes of the broken body is not the answer
                started = True
                await send(message)

        try:
            exceeded = declared.isdecimal() and int(declared) > self.limit
            if not exceeded:
                await self.app(scope, receiving, sending)
        except TooLarge:
            pass
        if stranger and not started:
            await problem(
                401, "give an API key, or log in, before you send that much", headers=CLOSING
            )(scope, receive, send)
        elif exceeded and not started:
            detail = f"the request is larger than the {self.limit / 1e6:.0f} MB that are read"
            await problem(413, detail, headers=CLOSING)(scope, receive, send)
