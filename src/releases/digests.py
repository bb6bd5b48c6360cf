"""SHA-256 of stored bytes, as they are now."""

import hashlib
import threading
import time

from src.artifacts.store import CHUNK, ArtifactStore
from src.core.addresses import StoredFile

SAME_S = 60.0
"""For so long a file without versions is taken to be the same while its size and time are."""
SETTLED_S = 2.0
"""A file that is younger may change once more within the tick of its time: it is read each time."""
MOST = 500
LANES = 64


class Digests:
    """Of one store."""

    def __init__(self, files: ArtifactStore) -> None:
        self.files = files
        self._known: dict[StoredFile, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(LANES)]

    def of(self, key: str, version: str | None) -> str | None:
        """Read now, as decisions need it. None where the file is not there. Raises
        StoreAwayError.
        """
        found = self.files.look(key, version)
        return None if found is None else self._fresh(found, key, version)

    def recent(self, key: str, version: str | None) -> str | None:
        """As `of`, for each request of a clip: a version is read once, another file once in
        SAME_S. Of those who ask at once one reads, and the others wait for it.
        """
        found = self.files.look(key, version)
        if found is None:
            return None
        with self._turns[hash(found) % LANES]:
            return self._kept(found) or self._fresh(found, key, version)

    def _kept(self, found: StoredFile) -> str | None:
        with self._lock:
            at, known = self._known.get(found, (0.0, None))
        lasts = _is_version(found) or time.monotonic() - at < SAME_S
        return known if lasts else None

    def _fresh(self, found: StoredFile, key: str, version: str | None) -> str:
        digest = self._read(key, version)
        if self._is_settled(found) and self.files.look(key, version) == found:
            self._keep(found, digest)
        return digest

    def _is_settled(self, found: StoredFile) -> bool:
        old = found.modified is not None and time.time() - found.modified > SETTLED_S
        return _is_version(found) or old

    def _keep(self, found: StoredFile, digest: str) -> None:
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[found] = (time.monotonic(), digest)

    def _read(self, key: str, version: str | None) -> str:
        made = hashlib.sha256()
        with self.files.open(key, version) as file:
            while piece := file.read(CHUNK):
                made.update(piece)
        return made.hexdigest()


def _is_version(found: StoredFile) -> bool:
    """Whether its name is of just these bytes: S3 says "null" where it keeps no versions."""
    return found.version not in (None, "", "null")
