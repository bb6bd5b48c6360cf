"""Final names on a local disk, for clips that go where a person says. A name is published once and
whole, and never overwritten.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.artifacts.folder import FolderStore
from src.artifacts.store import keep
from src.core.addresses import PHOTOGRAPHS
from src.core.durable import make_folder, sync_file, sync_folder
from src.core.errors import OutputError


class LocalStore:
    """Publishes finished temporary files under final names, and keeps photographs by their hash
    under `root`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def reserve(self, wanted: Path, replace: bool) -> Path:
        """`wanted` when it is free or may be replaced, else `NAME-2`, `NAME-3`, ..."""
        if replace:
            return wanted
        return next(path for path in _numbered(wanted) if _free(path))

    @contextmanager
    def claim(self, wanted: Path, replace: bool) -> Iterator[Path]:
        """`reserve` may be minutes ago: take the first name whose manifest can be created now, by
        nobody else.

        Where the context fails, the empty manifest that held the place is removed.
        """
        if replace:
            yield wanted
            return
        free = (path for path in _numbered(wanted) if not os.path.lexists(path))
        final = next(path for path in free if _create(_manifest(path)))
        try:
            yield final
        except BaseException:
            if not final.exists():
                _manifest(final).unlink(missing_ok=True)
            raise

    def publish(self, temporary: Path, final: Path) -> Path:
        """Rename within one file system, so that readers see the old file or the new one, never a
        part; it has reached the disk then.
        """
        try:
            make_folder(final.parent)
            sync_file(temporary)
            temporary.replace(final)
            sync_folder(final.parent)
        except OSError as error:
            raise OutputError(f"{final} cannot be written: {error.strerror}") from None
        return final

    def keep_photograph(self, data: bytes, sha256: str, suffix: str) -> Path:
        """Write `photographs/<sha256><suffix>` unless it is there and whole. Raises OutputError."""
        key = f"{PHOTOGRAPHS}{sha256}{suffix}"
        keep(FolderStore(self.root), key, data, sha256)
        return self.root / key

    def find_photograph(self, sha256: str) -> Path | None:
        """The kept photograph with this hash, or None."""
        return next((self.root / PHOTOGRAPHS).glob(f"{sha256}.*"), None)


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
