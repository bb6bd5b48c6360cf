"""Keys of stored files, and the addresses by which jobs name what they read. Both hold on every
machine that reaches the store.

A key is `FOLDER/NAME`, such as `examples/city-hall-7.mp4`. An address is `sha256:HASH.SUFFIX`, a
photograph or an uploaded video under the hash of its bytes, or `artifact:NAME`, a finished clip.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from src.core.errors import BadInputError

CLIPS, PHOTOGRAPHS, UPLOADS = "examples/", "photographs/", "uploads/"
RELEASES, PREVIEWS, QUARANTINE = "releases/", "previews/", "quarantine/"
KEPT = (CLIPS, RELEASES, PHOTOGRAPHS, UPLOADS)
"""Folders whose files have rows. Previews can be made again; what is in quarantine has no row."""
CONTENT, ARTIFACT, VIDEO = "sha256:", "artifact:", ".video"
STORED = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9]{1,8}")
KEY = re.compile(r"[a-z]+/(?!\.{1,2}$)([^/\\\x00]|\\x5c|\\udc[0-9a-f]{2}){1,255}")
"""A backslash stands for what a text cannot hold: `\\x5c` for itself, `\\udcff` for the byte ff."""
CLIP = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,250}")


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact store. bytes, sha256: None where they were not looked at. modified:
    seconds since the epoch. version: the store's name for just these bytes, where it keeps
    versions.
    """

    key: str
    bytes: int | None = None
    modified: float | None = None
    sha256: str | None = None
    version: str | None = None


def checked(key: str) -> str:
    """The key. Raises BadInputError for what is none, such as a path that leads out."""
    if not KEY.fullmatch(key):
        raise BadInputError(f"{key[:80]!r} is no key of a stored file; such as examples/NAME.mp4")
    return key


def stored_address(name: str) -> str:
    """The address of a file that is kept under its hash, called HASH.SUFFIX."""
    return f"{CONTENT}{name}"


def artifact_address(name: str) -> str:
    """The address of a finished clip."""
    return f"{ARTIFACT}{name}"


def name_in(address: str) -> str:
    """The file's name."""
    return address.partition(":")[2]


def is_stored(address: str) -> bool:
    """Whether it is of a photograph or upload, which belongs to the jobs that name it."""
    return address.startswith(CONTENT)


def address_key(address: str) -> str:
    """Where the file lies in a store. Raises BadInputError for what is no address."""
    name = name_in(address)
    if is_stored(address) and STORED.fullmatch(name):
        return stored_key(name)
    if address.startswith(ARTIFACT) and CLIP.fullmatch(name):
        return clip_key(name)
    raise BadInputError(f"{address[:80]!r} is no address of a stored file")


def known_key(address: str | None) -> str | None:
    """`key_of`, or None where there is no address, or what stands there is none."""
    try:
        return address_key(address) if address else None
    except BadInputError:
        return None


def stored_key(name: str) -> str:
    """The key of a photograph or upload called HASH.SUFFIX."""
    return f"{UPLOADS if name.endswith(VIDEO) else PHOTOGRAPHS}{name}"


def clip_key(name: str) -> str:
    """The key of a finished clip, or of its manifest."""
    return f"{CLIPS}{name}"


def release_key(name: str) -> str:
    """The key of what is served of a released clip, where that is not the clip itself."""
    return f"{RELEASES}{name}"


def manifest_key(clip: str) -> str:
    """The key of the manifest beside a clip's."""
    return str(PurePosixPath(clip).with_suffix(".json"))


def name_of(key: str) -> str:
    """The last part of a key."""
    return key.rpartition("/")[2]
