"""Local copies of files that lie in a store elsewhere: for libraries that take paths. The folder
has a limit; what was used least recently goes first, and nothing that is in use.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.core.errors import OutputError

Fetch = Callable[[Path], None]
"""Writes a file whole to the path that it is given, or raises."""


class LocalCopies:
    """Copies under `root`, shared by all processes of the machine. most: bytes that are kept."""

    def __init__(self, root: Path, most: int) -> None:
        self.root, self.most = root, most

    @contextmanager
    def lent(self, name: str, identity: str, fetch: Fetch) -> Iterator[Path]:
        """A file called `name` that stays while the context lasts. identity: of its bytes: who asks
        for the same ones gets the copy that is there.
        """
        path = self.root / hashlib.sha256(identity.encode()).hexdigest()[:32] / name
        while True:
            with locked(path.parent, fcntl.LOCK_SH):
                if path.exists():
                    os.utime(path.parent)
                    yield path
                    return
            with locked(path.parent, fcntl.LOCK_EX):
                if not path.exists():
                    self._fetch(path, fetch)
            self._shrink(path.parent)

    @staticmethod
    def _fetch(path: Path, fetch: Fetch) -> None:
        partial = path.parent / "partial"
        try:
            fetch(partial)
            partial.replace(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)

    def _shrink(self, keep: Path) -> None:
        """Remove the oldest beyond the limit."""
        entries = sorted(self.root.iterdir(), key=_used)
        total = sum(map(_size, entries))
        for folder in entries:
            if total <= self.most:
                return
            if folder != keep:
                size = _size(folder)
                total -= size if _remove(folder) else 0


@contextmanager
def workroom(root: Path) -> Iterator[Path]:
    """A new folder under `root`, gone afterwards; those that dead processes left go first."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.iterdir():
        _remove(left)
    with tempfile.TemporaryDirectory(dir=root) as folder, locked(Path(folder), fcntl.LOCK_SH):
        yield Path(folder)


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """A lock on the folder, which is made where it is missing. how: of `fcntl.flock`."""
    handle = _hold(folder, how)
    try:
        yield
    finally:
        os.close(handle)


def _hold(folder: Path, how: int) -> int:
    """The folder that is locked is the one that has the name: it may be removed meanwhile."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, how)
                if os.path.samestat(os.fstat(handle), folder.stat()):
                    return handle
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)


def _remove(folder: Path) -> bool:
    """Whether nobody uses it; it is gone then."""
    try:
        with locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    return True


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            total += path.stat().st_size
    return total
