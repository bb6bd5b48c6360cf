"""A stand-in for stores that are no folder of this machine: for tests, and as a model of the next
one.
"""

import hashlib
import io
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from src.artifacts.folder import PART
from src.core.addresses import StoredFile, checked, name_of
from src.core.errors import MissingFileError


class MemoryStore:
    """Files in memory, gone with the process. links: an address under which `url` says that clients
    find them; None: they go through the service.
    """

    def __init__(self, links: str | None = None) -> None:
        self.links = links
        self._files: dict[str, tuple[bytes, StoredFile]] = {}
        self._turn = threading.Lock()

    def put(self, key: str, data: BinaryIO, durable: bool = True) -> None:
        content = data.read()
        told = StoredFile(
            checked(key), len(content), time.time(), hashlib.sha256(content).hexdigest()
        )
        with self._turn:
            self._files[key] = content, told

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._found(key)[0])

    def look(self, key: str) -> StoredFile | None:
        found = self._files.get(checked(key))
        return found[1] if found else None

    def url(self, key: str, seconds: int) -> str | None:
        return f"{self.links}/{self._found(key)[1].key}?seconds={seconds}" if self.links else None

    def list(self, prefix: str) -> Iterator[str]:
        checked(f"{prefix}x")
        with self._turn:
            return iter([key for key in self._files if key.startswith(prefix)])

    def unfinished(self, prefix: str) -> Iterator[str]:
        """Nothing: what was not written to its end is not in the store."""
        return iter(())

    def delete(self, *keys: str) -> None:
        with self._turn:
            for key in keys:
                self._files.pop(checked(key), None)

    def move(self, key: str, wanted: str) -> bool:
        with self._turn:
            if key not in self._files or checked(wanted) in self._files:
                return False
            content, told = self._files.pop(key)
            moved = StoredFile(wanted, told.bytes, told.modified, told.sha256)
            self._files[wanted] = content, moved
        return True

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        content, told = self._found(key)
        with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
            path = Path(folder) / name_of(key)
            path.write_bytes(content)
            when = told.modified or 0.0
            os.utime(path, (when, when))
            yield path

    @contextmanager
    def making(self, key: str) -> Iterator[Path]:
        """In a folder that goes; the file itself is stored last."""
        with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
            path = Path(folder) / name_of(checked(key))
            yield path
            for made in sorted(Path(folder).iterdir(), key=lambda made: made == path):
                if made.name.startswith(f"{path.stem}.") and not made.name.endswith(PART):
                    with made.open("rb") as stream:
                        self.put(key.removesuffix(path.name) + made.name, stream)

    def _found(self, key: str) -> tuple[bytes, StoredFile]:
        if (found := self._files.get(checked(key))) is None:
            raise MissingFileError(f"{key} is not in the store")
        return found
