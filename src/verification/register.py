"""The register of a home: one line of JSON for each clip that was marked or has a fingerprint.

Commands and workers of the home both append to it, so that it needs no database and outlives one;
the service's own register is the table `marks`.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from src.core.durable import make_folder
from src.core.errors import OutputError
from src.core.paths import home
from src.core.register import Registered


class Register(Protocol):
    """What is known of marks and fingerprints, whoever keeps it."""

    def marks(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """Ids by the id of their key, of these keys."""
        ...

    def prints(self) -> Sequence[str]:
        """All fingerprints."""
        ...

    def of_mark(self, mark: str, key: str) -> Registered | None:
        """What carries the mark, the oldest first."""
        ...

    def of_print(self, fingerprint: str) -> Registered | None:
        """What looks so."""
        ...


class HomeRegister:
    """That of this home. Raises OutputError where it cannot be read."""

    def __init__(self, entries: Sequence[Registered] | None = None) -> None:
        self.entries = recall() if entries is None else entries

    def marks(self, keys: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, dict[str, None]] = {key: {} for key in keys}
        for each in self.entries:
            if each.mark and each.key in found:
                found[each.key][each.mark] = None
        return {key: list(marks) for key, marks in found.items() if marks}

    def prints(self) -> list[str]:
        return [each.fingerprint for each in self.entries if each.fingerprint]

    def of_mark(self, mark: str, key: str) -> Registered | None:
        found = (each for each in self.entries if (each.mark, each.key) == (mark, key))
        return next(found, None)

    def of_print(self, fingerprint: str) -> Registered | None:
        return next((each for each in self.entries if each.fingerprint == fingerprint), None)


def register_file() -> Path:
    """Where it lies."""
    return home() / "watermark" / "register.jsonl"


def remember(entry: Registered) -> None:
    """Append in one write, so that processes do not mix their lines. Raises OutputError."""
    path = register_file()
    line = (json.dumps(entry.told(), sort_keys=True) + "\n").encode()
    try:
        make_folder(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as stream:
            stream.write(line)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def recall() -> list[Registered]:
    """All entries, oldest first; a line that a power cut broke off is left out."""
    try:
        lines = register_file().read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{register_file()} cannot be read: {error.strerror}") from None
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _entry(line: bytes) -> Registered | None:
    try:
        return Registered(**json.loads(line))
    except (ValueError, TypeError):
        return None
