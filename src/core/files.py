"""Questions about files and disks that every floor asks."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")
_REMEMBERED: dict[tuple, object] = {}
MOST_REMEMBERED = 256


def state_of(path: Path) -> tuple[str, int, int]:
    """(real path, bytes, time of the last change in ns): another state is another file."""
    real = path.resolve()
    state = real.stat()
    return str(real), state.st_size, state.st_mtime_ns


def remembered(path: Path, what: str, make: Callable[[], T]) -> T:
    """What `make` finds out of a file, asked once for each state of it in this process."""
    key = (what, *state_of(path))
    if key not in _REMEMBERED:
        while len(_REMEMBERED) >= MOST_REMEMBERED:
            _REMEMBERED.pop(next(iter(_REMEMBERED)), None)
        _REMEMBERED[key] = make()
    return cast(T, _REMEMBERED[key])


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex, read piece by piece.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that `path` lies on, or will lie on once it is made."""
    absolute = path.resolve()
    return shutil.disk_usage(
        next(place for place in (absolute, *absolute.parents) if place.exists())
    ).free
