"""Addresses of stored files, as jobs name what they read: they hold on every machine that has the files.

`sha256:HASH.SUFFIX` is a photograph or an uploaded video under the hash of its bytes, `artifact:NAME` a finished clip.
"""

import re
from pathlib import Path

from src.core.errors import BadInputError
from src.core.paths import examples, home

CONTENT, ARTIFACT, VIDEO = "sha256:", "artifact:", ".video"
STORED = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9]{1,8}")
CLIP = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,250}")


def stored(path: Path) -> str:
    """The address of a file that is kept under its hash."""
    return f"{CONTENT}{path.name}"


def artifact(name: str) -> str:
    """The address of a finished clip."""
    return f"{ARTIFACT}{name}"


def name_in(address: str) -> str:
    """The file's name."""
    return address.partition(":")[2]


def is_stored(address: str) -> bool:
    """Whether it is of a photograph or upload, which belongs to the jobs that name it."""
    return address.startswith(CONTENT)


def found(address: str | None) -> Path | None:
    """`path_of`, or None where there is no address, or what stands there is none."""
    try:
        return path_of(address) if address else None
    except BadInputError:
        return None


def path_of(address: str) -> Path:
    """Where the file lies in this home, if it is here. Raises BadInputError for what is no address."""
    name = name_in(address)
    if address.startswith(CONTENT) and STORED.fullmatch(name):
        return home() / ("uploads" if name.endswith(VIDEO) else "photographs") / name
    if address.startswith(ARTIFACT) and CLIP.fullmatch(name):
        return examples() / name
    raise BadInputError(f"{address[:80]!r} is no address of a stored file")
