"""The register of a home: one line of JSON for each clip that was marked or has a fingerprint.

Commands and workers of the home both append to it, so that it needs no database and outlives one;
the service's own register is the table `marks`.
"""

import json
import os
from pathlib import Path

from src.core.durable import make_folder
from src.core.errors import OutputError
from src.core.paths import home
from src.core.register import Registered


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
