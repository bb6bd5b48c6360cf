"""Slack, by incoming web hooks: the address is the secret."""

import importlib
import logging
from typing import Any

from src.core.errors import BadInputError
from src.notices.hosts import checked_url
from src.notices.notifier import GoneError, NotDeliveredError, Notice, Target

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
MISSING = (
    "notices to Slack need the package slack_sdk; install it with: "
    "pip install -r requirements-fleet.txt"
)
GONE = {404, 410}
TIMEOUT_S = 10
PATIENT_S = 30.0
"""Slack is waited for so long where it says that this was too much; longer pauses are the
outbox's.
"""
SILENT = logging.Logger("slack", logging.CRITICAL + 1)  # the package logs addresses


class Slack:
    """private: other hosts that speak as Slack does are allowed, http too."""

    name = "slack"

    def __init__(self, private: bool = False) -> None:
        self.private = private

    def check(self, address: str) -> str:
        parts = checked_url(address, self.private)
        if not self.private and parts.hostname not in HOSTS:
            raise BadInputError(f"the target must be an address at https://{HOSTS[0]}/")
        try:
            importlib.import_module("slack_sdk")
        except ModuleNotFoundError:
            raise BadInputError(MISSING) from None
        return address

    def shown(self, address: str) -> str:
        parts = checked_url(address, private=True)
        return f"{parts.scheme}://{parts.netloc}/..."

    def send(self, notice: Notice, target: Target) -> None:
        from slack_sdk.webhook import WebhookClient

        client = WebhookClient(
            target.address, timeout=TIMEOUT_S, retry_handlers=[_limits()], logger=SILENT
        )
        try:
            answer = client.send_dict({"text": message(notice)})
        except Exception as error:  # urllib's, http.client's and ssl's; with the address in them
            raise NotDeliveredError(f"Slack cannot be reached: {type(error).__name__}") from None
        _judge(answer.status_code, answer.headers)


def message(notice: Notice) -> str:
    """In Slack's mark-up: the three letters that mean something there are escaped."""
    lines = [f"*{escaped(notice.subject)}*", escaped(notice.text)]
    return "\n".join(lines + ([f"<{notice.link}|Open it>"] if notice.link else []))


def escaped(text: str) -> str:
    """docs.slack.dev/messaging/formatting-message-text: escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _judge(status: int, headers: Any) -> None:
    if status in GONE:
        raise GoneError(f"Slack says that the target is gone ({status})")
    if status != 200:
        raise NotDeliveredError(f"Slack answered {status}", _pause(headers))


def _pause(headers: Any) -> float | None:
    """Seconds of Retry-After."""
    value = {str(name).lower(): value for name, value in headers.items()}.get("retry-after")
    text = value[0] if isinstance(value, list) and value else str(value or "")
    return float(text) if text.isdecimal() else None


def _limits() -> Any:
    """slack_sdk's own handler of 429, for short pauses: it sleeps."""
    from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

    class ShortLimits(RateLimitErrorRetryHandler):
        def _can_retry(self, **told: Any) -> bool:
            answer = told.get("response")
            pause = _pause(answer.headers) if answer is not None else None
            return super()._can_retry(**told) and (pause or 0.0) <= PATIENT_S

    return ShortLimits(max_retry_count=1)
