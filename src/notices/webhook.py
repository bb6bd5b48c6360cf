"""Web hooks, signed as Standard Webhooks says (github.com/standard-webhooks/standard-webhooks,
spec/standard-webhooks.md): `v1,` and the HMAC-SHA256 of "ID.TIMESTAMP.BODY" in base64.
"""

import base64
import hmac
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
import urllib.parse
from contextlib import suppress
from datetime import UTC, datetime

from src.core.errors import BadInputError
from src.notices.hosts import address_of, checked_url
from src.notices.notifier import GoneError, NotDeliveredError, Notice, Target

PREFIX = "whsec_"
TIMEOUT_S = 10.0
WHOLE_S = 30.0
"""Of one read, and of the whole exchange, however slowly it drips."""
TYPES = {"stuck": "queue.stuck", "off": "notices.off"}
"""What is about no job."""


def new_secret() -> str:
    """A secret to sign with: 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_secret(secret: str) -> str:
    """Raises BadInputError for what is none; the spec wants 24 to 64 bytes."""
    if secret.startswith(PREFIX) and 24 <= len(_key(secret)) <= 64:
        return secret
    raise BadInputError("a web hook's secret is whsec_ and 24 to 64 bytes in base64")


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        return b""


class WebHook:
    """Posts JSON. private: http and hosts inside the network are allowed."""

    name = "webhook"

    def __init__(self, private: bool = False) -> None:
        self.private = private

    def check(self, address: str) -> str:
        parts = checked_url(address, self.private)
        try:
            address_of(parts, self.private)
        except NotDeliveredError as error:
            raise BadInputError(str(error)) from None
        return address

    def shown(self, address: str) -> str:
        parts = checked_url(address, private=True)
        return f"{parts.scheme}://{parts.netloc}/..."

    def send(self, notice: Notice, target: Target) -> None:
        at = datetime.fromtimestamp(notice.at, UTC).isoformat()
        kind = TYPES.get(notice.kind) or f"job.{notice.kind}"
        told = {"type": kind, "timestamp": at, "data": notice.data}
        status = self._post(notice.id, json.dumps(told).encode(), target)
        if status == 410:
            raise GoneError("the target says that it is gone (410)")
        if not 200 <= status < 300:
            raise NotDeliveredError(f"the target answered {status}")

    def _post(self, identity: str, body: bytes, target: Target) -> int:
        """The status; redirects are not followed. The whole exchange takes `WHOLE_S` at most."""
        parts, now = self._allowed(target.address), int(time.time())
        headers = {
            "Content-Type": "application/json", "webhook-id": identity,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(str(target.secret), identity, now, body),
        }  # fmt: skip
        line = _Line(parts.scheme, str(parts.hostname), address_of(parts, self.private))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        clock = threading.Timer(WHOLE_S, line.shut)
        clock.daemon = True
        clock.start()
        try:
            line.request("POST", path, body, headers | {"Host": parts.netloc})
            return line.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NotDeliveredError(f"the target cannot be reached: {_why(error)}") from None
        finally:
            clock.cancel()
            line.close()

    def _allowed(self, address: str) -> urllib.parse.SplitResult:
        """Raises NotDeliveredError where the settings do not allow the target any more."""
        try:
            return checked_url(address, self.private)
        except BadInputError as error:
            raise NotDeliveredError(str(error)) from None


class _Line(http.client.HTTPConnection):
    """A connection to the very address that was checked."""

    def __init__(self, scheme: str, host: str, address: tuple[str, int]) -> None:
        super().__init__(host, address[1], timeout=TIMEOUT_S)
        self.scheme, self.address = scheme, address

    def shut(self) -> None:
        """From another thread: whoever reads hears that it is over."""
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address, TIMEOUT_S)
        if self.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def _why(error: Exception) -> str:
    """Without what the other side wrote."""
    return getattr(error, "strerror", None) or type(error).__name__
