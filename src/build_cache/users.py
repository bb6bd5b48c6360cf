"""Who has a build open: a mark for each process, which does not count once that process is gone."""

import os
from pathlib import Path

import psutil

MARK = "use.{}"


def mark_in_use(folder: Path) -> None:
    """This process has the folder's build open. Raises OSError."""
    own = psutil.Process(os.getpid()).create_time()
    (folder / MARK.format(os.getpid())).write_text(f"{own:.3f}", encoding="utf-8")


def unmark(folder: Path) -> None:
    (folder / MARK.format(os.getpid())).unlink(missing_ok=True)


def is_open(folder: Path) -> bool:
    """Whether any process has it open, this one included."""
    return bool(others(folder)) or (folder / MARK.format(os.getpid())).is_file()


def others(folder: Path) -> list[int]:
    """Processes besides this one that have it open; marks of those that are gone are removed."""
    found = []
    for file in folder.glob(MARK.format("*")):
        pid = int(file.suffix[1:])
        if not lives(pid, _began(file)):
            file.unlink(missing_ok=True)
        elif pid != os.getpid():
            found.append(pid)
    return found


def lives(pid: int, began: float | None = None) -> bool:
    """Whether a process of this number is there; numbers come again, so it must have begun when
    that one did.
    """
    try:
        now = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return began is None or abs(now - began) < 1


def _began(file: Path) -> float | None:
    try:
        return float(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
