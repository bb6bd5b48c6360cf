"""Where things lie: the repository, and the folder that outputs, database and caches go to."""

import hashlib
import os
import re
import unicodedata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"
CHECKPOINTS = REPOSITORY / "checkpoints"
LONGEST = 255
"""Bytes of a file's name on most disks."""
RESERVED = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)),
}
"""Names of devices on Windows, with any suffix."""
ENDING = 48
"""Bytes that `beside` keeps for what it puts around a name."""


def home() -> Path:
    """The folder for everything Newsreel writes: `NEWSREEL_HOME`,
    or the repository's `outputs/`.
    """
    return Path(os.environ.get("NEWSREEL_HOME") or REPOSITORY / "outputs").expanduser()


def examples() -> Path:
    """Where a clip goes when no output path is given."""
    return home() / "examples"


def is_file(path: Path) -> bool:
    """Like `Path.is_file`, but False where the name cannot be looked up: too long, or behind a
    closed folder.
    """
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Like `Path.is_dir`, with the same care as `is_file`."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def beside(path: Path, ending: str) -> Path:
    """A hidden name next to `path` for what belongs to it: ".NAME.ENDING", where NAME is cut to fit
    a disk's names.
    """
    return path.with_name(f".{shortened(path.name, LONGEST - ENDING)}.{ending}")


def shortened(name: str, most: int = LONGEST) -> str:
    """The name where it has at most `most` bytes; else its begin, and a hash by which others of
    that begin differ.
    """
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= most:
        return name
    digest = hashlib.sha256(data).hexdigest()[:12]
    return data[: most - 13].decode("utf-8", "ignore") + "-" + digest


def slug(words: str, longest: int = 48, otherwise: str = "clip") -> str:
    """Words as part of a file name: lower case, joined by hyphens, at most `longest` characters;
    `otherwise` where no letter or digit of ASCII is in them.
    """
    joined = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return joined[:longest].rstrip("-") or otherwise


def exists(path: Path) -> bool:
    """Like `Path.exists`, with the same care as `is_file`."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def absent(path: Path) -> str:
    """Why no file can be read at `path`, as the end of a sentence."""
    if is_folder(path):
        return "is a folder, not a file"
    if exists(path):
        return "is no plain file"
    if _is_link(path):
        return f"is a link to {path.readlink()}, which is not there"
    return "does not exist"


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def refused_by_windows(path: Path) -> str | None:
    """Why Windows would not write this file, or another one; None where it would."""
    name = path.name
    if name.split(".")[0].rstrip().upper() in RESERVED:
        return f"{name} is the name of a device"
    if name != name.rstrip(". "):
        return f"{name} ends in a dot or a space, which Windows takes off"
    odd = sorted(set(name) & set('<>:"/\\|?*'))
    return f"{name} holds {odd[0]}, which no name may" if odd else None


def portable(path: Path) -> str:
    """A path fit for a manifest: relative to the repository where it lies inside, else its last
    part.
    """
    resolved = Path(path).resolve()
    if resolved.is_relative_to(REPOSITORY):
        return resolved.relative_to(REPOSITORY).as_posix()
    return resolved.name


def same_name(path: Path) -> str:
    """What two spellings of one file share: links and `..` followed, and letters compared as a disk
    may compare them.

    Names that differ only in case, or in how an accent is composed, are one file on macOS and
    Windows.
    """
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
