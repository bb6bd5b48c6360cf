"""What the service does to every clip unless its operator says otherwise: mark it, and sign it."""

from typing import Any

from src.engine.signing import with_signature
from src.trust.extra import is_here
from src.trust.settings import MARKING, SIGNING, is_switched_on


def signs() -> bool:
    """Whether every clip is signed here."""
    return is_switched_on(SIGNING) and is_here()


def with_house_rules(request: dict[str, Any]) -> dict[str, Any]:
    """A job's request with what the house adds: nothing that a client says takes it away. request:
    fields of a `Request` or `UpscaleRequest`.
    """
    added: dict[str, Any] = {}
    if is_switched_on(MARKING):
        added["watermark"] = True
    if signs():
        added["finishers"] = with_signature(tuple(request.get("finishers", ())))
    return request | added
