"""What attempts left behind: what is rubbish for certain goes, what may be somebody's clip is put
into quarantine.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from loguru import logger

from src.core.durable import make_folder
from src.database.house import QUARANTINE
from src.jobs.model import Job, State
from src.worker.names import AttemptFile

STRANGE_S = 3600.0  # a part that somebody unknown is writing is left alone for so long


def sort_out(
    folder: Path, known: Mapping[str, Job], found: Iterable[AttemptFile]
) -> tuple[list[Path], list[Path]]:
    """Remove what dead attempts left in `folder` and set aside what no job of this database
    published.

    known: jobs by id, as the database had them after `found` was listed: whatever was written later
    is not judged. Returns the files removed, and where the others lie now.
    """
    removed, aside = [], []
    for attempt in found:
        job = known.get(attempt.job)
        if _is_rubbish(attempt, job):
            attempt.path.unlink(missing_ok=True)
            removed.append(attempt.path)
        elif not attempt.partial and not _is_needed(attempt, job):
            aside += _set_aside(attempt.path, folder.parent / QUARANTINE)
    return removed, aside


def _is_needed(attempt: AttemptFile, job: Job | None) -> bool:
    """Published, or being made now."""
    if job is None:
        return False
    held = job.state is State.PROCESSING and job.token == attempt.token
    return held or job.artifact == attempt.artifact


def _is_rubbish(attempt: AttemptFile, job: Job | None) -> bool:
    """A part, or a whole file of an attempt after which this database knows a later one.

    A whole file of the last attempt, or of one that this database has not given yet, may be a clip
    that was published and whose database was set back since.
    """
    if job is None:
        return attempt.partial and attempt.path.exists() and _age(attempt.path) > STRANGE_S
    if _is_needed(attempt, job):
        return attempt.partial and job.state is not State.PROCESSING
    return attempt.partial or attempt.token < job.token


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _set_aside(path: Path, quarantine: Path) -> list[Path]:
    """Move a file to a free name in quarantine; it stays where it is where that cannot be done."""
    try:
        make_folder(quarantine)
        target = _free(quarantine / path.name)
        path.rename(target)
    except OSError as error:
        logger.warning(
            "{} is no job's, and cannot be put into quarantine: {}", path.name, error.strerror
        )
        return []
    logger.warning(
        "{} is no job's of this database; it is in {} now, and stays there", path.name, quarantine
    )
    return [target]


def _free(wanted: Path) -> Path:
    number, path = 2, wanted
    while path.exists() or path.is_symlink():
        path, number = wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}"), number + 1
    return path


def set_aside(paths: Iterable[Path], home: Path) -> list[Path]:
    """Put files into the home's quarantine; returns where they lie now."""
    return [target for path in paths for target in _set_aside(path, home / QUARANTINE)]
