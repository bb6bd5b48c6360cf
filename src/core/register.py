"""The register of what was marked: what a mark or a fingerprint that is found says of a file."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Registered:
    """artifact: the file's name, or its key in the store. sha256: of the file as published. mark,
    key: id of its watermark and of the key; "" where it has none. fingerprint: 64 hexadecimal
    digits, or "". job: that made it; "" for a command.
    """

    artifact: str
    sha256: str
    mark: str = ""
    key: str = ""
    fingerprint: str = ""
    job: str = ""

    def told(self) -> dict[str, Any]:
        """What of it is not empty."""
        return {name: value for name, value in asdict(self).items() if value}
