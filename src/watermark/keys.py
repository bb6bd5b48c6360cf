"""The keys that marks are made and read with: a file, by a setting or in the home."""

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from src.core.durable import make_folder, sync_folder
from src.core.errors import BadInputError, MissingFileError, OutputError
from src.core.paths import beside, home, is_file
from src.core.text import read_text

KEY = "NEWSREEL_WATERMARK_KEY"
FOLDER = "watermark"
"""In the home: the key that is made on first use, and the register of commands."""


@dataclass(frozen=True)
class MarkKey:
    """secret: 32 bytes. id: 8 hexadecimal digits, which say which key it is and nothing of it."""

    secret: bytes

    @property
    def id(self) -> str:
        return hashlib.sha256(b"newsreel watermark key " + self.secret).hexdigest()[:8]


def known_keys() -> tuple[MarkKey, ...]:
    """The keys of this installation, that of new marks first; () where there are none yet. A line
    of the file is a key: older ones stay below, so that their marks are still read.

    Raises MissingFileError, or BadInputError where the file holds something else.
    """
    path = key_file()
    if not is_file(path):
        if os.environ.get(KEY):
            raise MissingFileError(f"{KEY}: there is no file {path}")
        return ()
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not lines or not all(re.fullmatch("[0-9a-fA-F]{64}", line) for line in lines):
        raise BadInputError(f"{path} is no file of watermark keys: each line is 64 hexadecimal "
                            "digits, the key of new marks first")  # fmt: skip
    return tuple(MarkKey(bytes.fromhex(line)) for line in lines)


def marking_key(wanted: str = "") -> MarkKey:
    """The key of new marks, made where there is none; or the one with the id `wanted`. Raises as
    `known_keys`, and BadInputError where that one is not here.
    """
    keys = known_keys() or (_made(key_file()),)
    found = [key for key in keys if not wanted or key.id == wanted]
    if not found:
        raise BadInputError(f"the clip was marked with key {wanted}, which is not in {key_file()}; "
                            "add its line there")  # fmt: skip
    return found[0]


def key_file() -> Path:
    """Where the keys are, or will be."""
    given = os.environ.get(KEY)
    return Path(given).expanduser() if given else home() / FOLDER / "key"


def check_keys() -> None:
    """Raise now, rather than after minutes of computing, where the keys cannot be read; makes
    none.
    """
    known_keys()


def _made(path: Path) -> MarkKey:
    """A new key in a file that only its owner reads. Two processes may come at once: one wins."""
    temporary = beside(path, f"{os.getpid()}.partial")
    try:
        make_folder(path.absolute().parent)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
            sync_folder(path.parent)
            logger.warning(f"a watermark key was made in {path}; keep a copy: without it no mark "
                           "can be read, and every machine of a fleet needs the same")  # fmt: skip
        temporary.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    return known_keys()[0]
