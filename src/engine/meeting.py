"""The folder where the processes of a clip meet, and what leaders that were killed left of theirs.

A leader holds a lock on a file in it, which the system takes from it however it ends; so a folder
whose lock is free has no leader any more.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "newsreel-gpus-"
LOCK = "leader"


class MeetingPlace:
    """A new folder of this process's own. file: where the group meets."""

    def __init__(self) -> None:
        remove_left()
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.file = self._folder / "meeting"
        unlocked = self._folder / "new"  # under its own name a lock that is free has no leader
        self._lock = os.open(unlocked, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self._folder / LOCK)

    def close(self) -> None:
        """Remove it, or what a cleaner of temporary folders left of it."""
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
        finally:
            os.close(self._lock)


def remove_left() -> list[Path]:
    """Remove the folders whose leader is gone; returns them. One without the file of the lock is
    just being made, and one of another user is theirs to remove.
    """
    found = Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}")
    return [lock.parent for lock in found if _is_left(lock)]


def _is_left(lock: Path) -> bool:
    """Whether nobody held it; then the folder is gone."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:  # removed just now, another user's, or no file: not ours to remove
        return False
    try:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)  # another process may do the same
            return True
        return False
    finally:
        os.close(handle)
