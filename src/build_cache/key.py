"""What an optimised build of a model depends on: other versions, another processor or other
weights are another build.
"""

import hashlib
import json
from typing import Any

from src.core.config import Config


class BuildKey(Config):
    """model: whose build it is, a name fit for a folder. fields: everything that decides its bytes
    and its results, as JSON: hash of the weights, versions, precision, processor.
    """

    model: str
    fields: dict[str, Any]

    @property
    def digest(self) -> str:
        """32 hex digits of SHA-256 over the canonical JSON of model and fields."""
        return short_digest({"model": self.model, "fields": self.fields})


def short_digest(data: Any) -> str:
    """32 hex digits of SHA-256 over canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
