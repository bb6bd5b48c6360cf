"""Where finished files go. A name is published once and whole, and never overwritten."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from src.core.errors import OutputError
from src.core.paths import beside


class ArtifactStore(Protocol):
    """Publishes finished temporary files under final names, and keeps input photographs by their hash."""

    def reserve(self, wanted: Path, replace: bool) -> Path:
        """The final name for `wanted`: itself, or with a number appended when it is taken."""
        ...

    def claim(self, wanted: Path, replace: bool) -> AbstractContextManager[Path]:
        """Like `reserve`, but nobody else gets the name while the context lasts."""
        ...

    def publish(self, temporary: Path, final: Path) -> Path:
        """Move a whole file to its final name in one step."""
        ...

    def keep_photograph(self, data: bytes, sha256: str, suffix: str) -> Path:
        """Store a photograph once under its hash."""
        ...

    def find_photograph(self, sha256: str) -> Path | None:
        """The kept photograph with this hash, or None."""
        ...


class LocalStore:
    """Artifacts on a local disk; `root` holds the kept photographs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def reserve(self, wanted: Path, replace: bool) -> Path:
        """`wanted` when it is free or may be replaced, else `NAME-2`, `NAME-3`, ..."""
        if replace:
            return wanted
        return next(path for path in _numbered(wanted) if _free(path))

    @contextmanager
    def claim(self, wanted: Path, replace: bool) -> Iterator[Path]:
        """`reserve` may be minutes ago: take the first name whose manifest can be created now, by nobody else.

        Where the context fails, the empty manifest that held the place is removed.
        """
        if replace:
            yield wanted
            return
        final = next(path for path in _numbered(wanted) if not os.path.lexists(path) and _create(_manifest(path)))
        try:
            yield final
        except BaseException:
            if not final.exists():
                _manifest(final).unlink(missing_ok=True)
            raise

    def publish(self, temporary: Path, final: Path) -> Path:
        """Rename within one file system, so that readers see the old file or the new one, never a part."""
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(final)
        except OSError as error:
            raise OutputError(f"{final} cannot be written: {error.strerror}") from None
        return final

    def keep_photograph(self, data: bytes, sha256: str, suffix: str) -> Path:
        """Write `photographs/<sha256><suffix>` unless it is there; raises OutputError when the disk is full."""
        path = self.root / "photographs" / f"{sha256}{suffix}"
        if not path.exists():
            write_whole(path, data)
        return path

    def find_photograph(self, sha256: str) -> Path | None:
        return next((self.root / "photographs").glob(f"{sha256}.*"), None)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all, also where threads write it at once. Raises OutputError."""
    temporary = beside(path, f"{threading.get_native_id()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def _manifest(clip: Path) -> Path:
    return clip.with_suffix(".json")


def _free(clip: Path) -> bool:
    return not os.path.lexists(clip) and not os.path.lexists(_manifest(clip))


def _create(path: Path) -> bool:
    """Whether the file was not there and is now. Raises OutputError where it cannot be made."""
    try:
        path.open("x", encoding="utf-8").close()
    except FileExistsError:
        return False
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    return True


def _numbered(wanted: Path) -> Iterator[Path]:
    yield wanted
    number = 2
    while True:
        yield wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        number += 1
