"""SHA-256 of stored bytes, as they are now."""

import hashlib
import threading
import time

from src.artifacts.store import CHUNK, ArtifactStore
from src.core.addresses import StoredFile

SMALL = 32 << 20
"""Bytes of files that are read whole each time. Larger ones are taken to be the same for a minute
while their size, time and version are.
"""
SAME_S = 60.0
MOST = 500


class Digests:
    """Of one store."""

    def __init__(self, files: ArtifactStore) -> None:
        self.files = files
        self._known: dict[StoredFile, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def of(self, key: str, version: str | None) -> str | None:
        """None where the file is not there. Raises StoreAwayError."""
        found = self.files.look(key, version)
        if found is None:
            return None
        if (found.bytes or 0) <= SMALL:
            return self._read(key, version)
        with self._lock:
            at, known = self._known.get(found, (0.0, ""))
        if known and time.monotonic() - at < SAME_S:
            return known
        return self._keep(found, self._read(key, version))

    def _keep(self, found: StoredFile, digest: str) -> str:
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[found] = (time.monotonic(), digest)
        return digest

    def _read(self, key: str, version: str | None) -> str:
        made = hashlib.sha256()
        with self.files.open(key, version) as file:
            while piece := file.read(CHUNK):
                made.update(piece)
        return made.hexdigest()
