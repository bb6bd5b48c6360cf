"""Where finished files, photographs, uploads and pictures lie, by key. A key's file is whole or not
there.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol

from src.core.addresses import StoredFile
from src.core.errors import MissingFileError, OutputError

CHUNK = 1 << 20


class StoreAwayError(OutputError):
    """The store cannot be used at the moment; the same call works again once it can."""

    http_status = 503


class TakenError(OutputError):
    """The key has a file with other bytes, and was to be written once only."""

    http_status = 409


Patience = Callable[[StoreAwayError, float], bool]
"""Asked while a store is away, with the seconds waited so far: True after a pause, where it is to
be tried again.
"""


class ArtifactStore(Protocol):
    """Files by key, `FOLDER/NAME` (`src/core/addresses.py`). `tests/contracts/` says what each
    store must do; `registry.py` says which one is used.

    version: as `StoredFile` has it: these bytes, even if the key has others now or none; None: what
    is there now. A store that keeps no versions passes it over.

    Raises OutputError where something cannot be written, StoreAwayError where the store cannot be
    reached, and BadInputError for what is no key.
    """

    @property
    def origin(self) -> str | None:
        """Scheme, host and port that `url` leads to; None where it leads nowhere."""
        ...

    def put(self, key: str, data: BinaryIO, durable: bool = True, once: bool = False) -> None:
        """Store the stream's bytes; a file of before is replaced in one step.

        durable: wait until they would survive a power cut, and for a store that is away; not needed
        for what may be lost. once: one writer wins a key, and the same bytes again are welcome.
        Raises TakenError for others.
        """
        ...

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        """The file's bytes as they are now, from any place. Raises MissingFileError."""
        ...

    def look(self, key: str, version: str | None = None) -> StoredFile | None:
        """Its size and time, and its hash where the store keeps one; None where it is not there."""
        ...

    def url(self, key: str, seconds: int, version: str | None = None) -> str | None:
        """Where a client may fetch it itself for so long; None: only through the service."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Keys of whole files that begin so, in no order. The folder is part of the prefix."""
        ...

    def unfinished(self, prefix: str) -> Iterator[str]:
        """Keys of what is being written, or was left so, for files whose keys begin so."""
        ...

    def delete(self, *keys: str) -> None:
        """Remove them; those that are not there are passed over."""
        ...

    def move(self, key: str, wanted: str) -> bool:
        """Give a file another key; False where that is taken, or the file is not there."""
        ...

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A file of this machine with the same bytes, name and time, to be read while the context
        lasts: for libraries that take paths. Raises MissingFileError.
        """
        ...

    def making(self, key: str, once: bool = False) -> AbstractContextManager[Path]:
        """Where a program that writes to paths makes the file, and others of its stem, whole and
        synced. When the context ends well, what lies there is in the store. once: as for `put`.
        """
        ...


def measured_file(files: ArtifactStore, key: str) -> StoredFile:
    """The file with its size and hash. Raises MissingFileError."""
    if (known := files.look(key)) is None:
        raise MissingFileError(f"{key} is not in the store")
    return known if known.sha256 else replace(known, sha256=_hash(files, key))


def _hash(files: ArtifactStore, key: str) -> str:
    digest = hashlib.sha256()
    with files.open(key) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def holds(files: ArtifactStore, key: str, size: int, sha256: str) -> bool:
    """Whether the file is there with these bytes: a disk that filled or failed may have left
    others.
    """
    known = files.look(key)
    try:
        return (
            known is not None and known.bytes == size and measured_file(files, key).sha256 == sha256
        )
    except (MissingFileError, OSError):
        return False


def keep(files: ArtifactStore, key: str, data: bytes, sha256: str) -> None:
    """Store a file under its hash, unless it is there and whole. Raises OutputError."""
    if not holds(files, key, len(data), sha256):
        files.put(key, io.BytesIO(data))
