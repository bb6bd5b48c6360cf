"""Around every request: an id and a log line, a limit on what is read, headers that browsers obey."""

import re
import secrets
import time
from collections.abc import Callable

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.problems import problem

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}  # fmt: skip
STRANGERS = 64 * 1024  # bytes that are read before the key is looked at: forms are parsed before their route runs
DOCS = ("/docs", "/redoc")  # FastAPI's pages load their scripts from elsewhere
CLOSING = {"Connection": "close"}
CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']*)", re.I)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TooLarge(Exception):
    """The body is larger than the service reads."""


class Around:
    """One middleware in place of three: pure ASGI, so that streams stream."""

    def __init__(
        self, app: ASGIApp, limit: int, observe: Callable[[str, int, float], None], known: Callable[[Scope], bool]
    ) -> None:
        self.app, self.limit, self.observe, self.known = app, limit, observe, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id, scope["path"])
            await send(message)

        with logger.contextualize(request=request_id):
            try:
                await self._answer(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - begin
                self.observe(scope["method"], status, seconds)
                logger.debug("{} {} {} {:.1f} ms", scope["method"], scope["path"], status, 1000 * seconds)

    @staticmethod
    def _add_headers(message: Message, request_id: str, path: str) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-Id"] = request_id
        for name, value in HEADERS.items():
            if name not in headers and not (name.startswith("Content-Security") and path.startswith(DOCS)):
                headers[name] = value

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Other charsets are refused: some that Python knows make text that no answer could carry."""
        charset = CHARSET.search(Headers(scope=scope).get("content-type", ""))
        if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            await problem(415, "send text in UTF-8, without another charset")(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body as it arrives, whatever its Content-Length says; a stranger's ends early."""
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
            await problem(401, "give an API key, or log in, before you send that much", headers=CLOSING)(
                scope, receive, send
            )
        elif exceeded and not started:
            detail = f"the request is larger than the {self.limit / 1e6:.0f} MB that are read"
            await problem(413, detail, headers=CLOSING)(scope, receive, send)
