"""Questions about files and disks that every floor asks."""

import hashlib
import shutil
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex, read piece by piece.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that `path` lies on, or will lie on once it is made."""
    absolute = path.resolve()
    return shutil.disk_usage(next(place for place in (absolute, *absolute.parents) if place.exists())).free
