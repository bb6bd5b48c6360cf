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
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from src.artifacts.folder import PART
from src.artifacts.store import TakenError
from src.core.addresses import StoredFile, checked, name_of
from src.core.errors import MissingFileError

Content = tuple[bytes, StoredFile]


class MemoryStore:
    """Files in memory with all their versions, gone with the process. links: an address under which
    `url` says that clients find them; None: they go through the service.
    """

    def __init__(self, links: str | None = None) -> None:
        self.links = links
        self._files: dict[str, Content] = {}
        self._versions: dict[tuple[str, str], Content] = {}
        self._turn = threading.Lock()

    @property
    def origin(self) -> str | None:
        return "/".join(self.links.split("/")[:3]) if self.links else None

    def put(self, key: str, data: BinaryIO, durable: bool = True, once: bool = False) -> None:
        content = data.read()
        digest = hashlib.sha256(content).hexdigest()
        with self._turn:
            if once and (there := self._files.get(checked(key))):
                if there[1].sha256 != digest:
                    raise TakenError(f"{key} is in the store with other bytes")
                return
            version = str(len(self._versions))
            told = StoredFile(checked(key), len(content), time.time(), digest, version)
            self._files[key] = self._versions[key, version] = content, told

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        return io.BytesIO(self._found(key, version)[0])

    def look(self, key: str, version: str | None = None) -> StoredFile | None:
        found = self._get(key, version)
        return found[1] if found else None

    def url(self, key: str, seconds: int, version: str | None = None) -> str | None:
        if self.links is None or self._found(key, version) != self._get(key):
            return None
        return f"{self.links}/{key}?seconds={seconds}"

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
            moved = replace(told, key=wanted)
            self._files[wanted] = self._versions[wanted, str(told.version)] = content, moved
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
    def making(self, key: str, once: bool = False) -> Iterator[Path]:
        """In a folder that goes; the file itself is stored last."""
        with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
            path = Path(folder) / name_of(checked(key))
            yield path
            for made in sorted(Path(folder).iterdir(), key=lambda made: made == path):
                if made.name.startswith(f"{path.stem}.") and not made.name.endswith(PART):
                    with made.open("rb") as stream:
                        self.put(key.removesuffix(path.name) + made.name, stream, once=once)

    def _get(self, key: str, version: str | None = None) -> Content | None:
        if version is None:
            return self._files.get(checked(key))
        return self._versions.get((checked(key), version))

    def _found(self, key: str, version: str | None = None) -> Content:
        if (found := self._get(key, version)) is None:
            raise MissingFileError(f"{key} is not in the store")
        return found
