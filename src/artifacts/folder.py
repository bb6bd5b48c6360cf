"""The artifact store of one machine: a folder."""

import filecmp
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from src.artifacts.store import TakenError
from src.core.addresses import StoredFile, checked
from src.core.durable import make_folder, sync_folder, write_stream
from src.core.errors import MissingFileError, OutputError

PART = ".partial"
ESCAPE = re.compile(r"\\x5c|\\udc([0-9a-f]{2})")


class FolderStore:
    """Files under `root`: the key is the path. Links are no files of the store. No versions are
    kept.
    """

    origin = None

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: BinaryIO, durable: bool = True, once: bool = False) -> None:
        if not once:
            write_stream(self._path(key), data, durable)
            return
        aside = self._path(key).with_name(f".{secrets.token_hex(8)}{PART}")
        write_stream(aside, data, durable)
        try:
            os.link(aside, self._path(key))
        except FileExistsError:
            self._same(key, aside)
        except OSError as error:
            raise OutputError(f"{key} cannot be written: {error.strerror}") from None
        finally:
            aside.unlink()

    def _same(self, key: str, aside: Path) -> None:
        """Raise TakenError where the key's file has other bytes."""
        if not filecmp.cmp(aside, self._path(key), shallow=False):
            raise TakenError(f"{key} is in the store with other bytes")

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        try:
            return self._file(key).open("rb")
        except FileNotFoundError:
            raise MissingFileError(f"{key} is not in the store") from None

    def look(self, key: str, version: str | None = None) -> StoredFile | None:
        path = self._path(key)
        try:
            state = path.lstat()
        except OSError:  # not there, or behind a closed folder
            return None
        whole = stat.S_ISREG(state.st_mode)
        return StoredFile(key, state.st_size, state.st_mtime) if whole else None

    def url(self, key: str, seconds: int, version: str | None = None) -> str | None:
        return None

    def list(self, prefix: str) -> Iterator[str]:
        folder, begin = _parts(prefix)
        for entry in self._entries(folder):
            whole = not entry.name.startswith(".") and not entry.name.endswith(PART)
            if whole and entry.name.startswith(begin) and entry.is_file(follow_symlinks=False):
                yield folder + _escaped(entry.name)

    def unfinished(self, prefix: str) -> Iterator[str]:
        folder, begin = _parts(prefix)
        for entry in self._entries(folder):
            part = entry.name.endswith(PART) or (entry.name.startswith(".") and PART in entry.name)
            if part and entry.name.lstrip(".").startswith(begin):
                yield folder + _escaped(entry.name)

    def delete(self, *keys: str) -> None:
        paths = [self._path(key) for key in keys]
        for path in paths:
            if path.is_dir() and not path.is_symlink():  # of parts, such as an upscaler's segments
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths if path.parent.is_dir()}:
            sync_folder(folder)

    def move(self, key: str, wanted: str) -> bool:
        target = self._path(wanted)
        if os.path.lexists(target):
            return False
        try:
            make_folder(target.parent)
            self._path(key).rename(target)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise OutputError(f"{key} cannot become {wanted}: {error.strerror}") from None
        return True

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """The file itself."""
        yield self._file(key)

    @contextmanager
    def making(self, key: str, once: bool = False) -> Iterator[Path]:
        """Its final place: what is written whole there is in the store."""
        path = self._path(key)
        if once and os.path.lexists(path):
            raise TakenError(f"{key} is in the store already")
        try:
            make_folder(path.parent)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made: {error.strerror}") from None
        yield path

    def _path(self, key: str) -> Path:
        return self.root / (_plain(key) if "\\" in checked(key) else key)

    def _file(self, key: str) -> Path:
        if self.look(key) is None:
            raise MissingFileError(f"{key} is not in the store")
        return self._path(key)

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                yield from entries
        except FileNotFoundError:
            return


def _escaped(name: str) -> str:
    """A file's name as part of a key, which databases can hold: disks allow names that are no
    UTF-8.
    """
    return name.replace("\\", r"\x5c").encode(errors="backslashreplace").decode()


def _plain(key: str) -> str:
    """Where a key's file lies."""
    return ESCAPE.sub(lambda found: chr(0xDC00 + int(found[1], 16)) if found[1] else "\\", key)


def _parts(prefix: str) -> tuple[str, str]:
    """Of "examples/city": "examples/" and "city"."""
    folder, slash, begin = checked(f"{prefix}x").rpartition("/")
    return folder + slash, begin[:-1]
