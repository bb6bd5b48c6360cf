"""Files that a power cut leaves whole: their bytes and their names reach the disk before anybody is
told of them.
"""

import io
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from src.core.errors import OutputError
from src.core.paths import beside

CHUNK = 1 << 20
TRIAL = 1 << 20
"""Bytes that a disk must take before a clip is made."""


def write_whole(path: Path, data: bytes, synced: bool = True) -> None:
    """Write a file so that it appears whole or not at all, also where threads write it at once.
    Raises OutputError.

    synced: wait until file and folder have reached the disk; not needed for what may be lost, such
    as previews.
    """
    write_stream(path, io.BytesIO(data), synced)


def write_stream(path: Path, data: BinaryIO, synced: bool = True) -> None:
    """The same with the bytes of a stream."""
    write_pieces(path, iter(partial(data.read, CHUNK), b""), synced)


def write_pieces(path: Path, pieces: Iterable[bytes], synced: bool = True) -> None:
    """The same with bytes that are made as they are written. What making them raises goes up, and
    no file stays.
    """
    temporary = beside(path, f"{threading.get_native_id()}.partial")
    try:
        make_folder(path.parent)
        with temporary.open("wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            if synced:
                os.fsync(stream.fileno())
        temporary.replace(path)
        if synced:
            sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path, cure: str) -> None:
    """Raise OutputError where a file at `path` could not be written, with its folder made, or the
    disk has no room for `TRIAL` bytes: now rather than after minutes of computing. cure: what to
    do then.
    """
    trial = beside(path, f"{os.getpid()}.trial")
    try:
        make_folder(path.parent)
        trial.write_bytes(bytes(TRIAL))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; {cure}") from None
    finally:
        with suppress(OSError):
            trial.unlink()


def make_folder(folder: Path) -> None:
    """The folder with its parents; those that are new have reached the disk too."""
    if folder.is_dir():
        return
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's bytes have reached the disk. Raises OSError."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names have reached the disk; does nothing where folders cannot be
    opened (Windows).
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
