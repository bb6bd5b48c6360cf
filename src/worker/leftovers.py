"""What attempts left behind: what is rubbish for certain goes, what may be somebody's clip is put
into quarantine.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from loguru import logger

from src.artifacts.store import ArtifactStore
from src.core.addresses import QUARANTINE, name_of
from src.core.errors import OutputError
from src.jobs.model import Job, State
from src.worker.names import AttemptFile

STRANGE_S = 3600.0  # what somebody unknown may be writing is left alone for so long


def sort_out(
    files: ArtifactStore, known: Mapping[str, Job], found: Iterable[AttemptFile]
) -> tuple[list[str], list[str]]:
    """Remove what dead attempts left and set aside what no job of this database published.

    known: jobs by id, as the database had them after `found` was listed: whatever was written later
    is not judged. Returns the keys of what was removed, and where the others lie now.
    """
    removed, aside = [], []
    for attempt in found:
        job = known.get(attempt.job)
        if _is_rubbish(files, attempt, job):
            files.delete(attempt.key)
            removed.append(attempt.key)
        elif not attempt.partial and not is_needed(attempt, job):
            aside += quarantine(files, [attempt.key])
    return removed, aside


def is_needed(attempt: AttemptFile, job: Job | None) -> bool:
    """Published, or being made now."""
    if job is None:
        return False
    held = job.state is State.PROCESSING and job.token == attempt.token
    return held or job.artifact == attempt.artifact


def _is_rubbish(files: ArtifactStore, attempt: AttemptFile, job: Job | None) -> bool:
    """A part, or a whole file of an attempt after which this database knows a later one.

    A whole file of the last attempt, or of one that this database has not given yet, may be a clip
    that was published and whose database was set back since.
    """
    if job is None:
        return attempt.partial and is_older(files, attempt.key, STRANGE_S)
    if is_needed(attempt, job):
        return attempt.partial and job.state is not State.PROCESSING
    return attempt.partial or attempt.token < job.token


def is_older(files: ArtifactStore, key: str, seconds: float) -> bool:
    """Whether a file is there, and was written so long ago."""
    told = files.look(key)
    return told is not None and (told.modified or 0.0) < time.time() - seconds


def quarantine(files: ArtifactStore, keys: Iterable[str]) -> list[str]:
    """Put files into quarantine, under free names; returns where they lie now. One that cannot be
    moved stays where it is.
    """
    return [aside for key in keys if (aside := _moved(files, key)) is not None]


def _moved(files: ArtifactStore, key: str) -> str | None:
    name, number = PurePosixPath(name_of(key)), 1
    wanted = f"{QUARANTINE}{name}"
    try:
        while not files.move(key, wanted):
            if files.look(key) is None:
                return None  # removed meanwhile
            number += 1
            wanted = f"{QUARANTINE}{name.stem}.{number}{name.suffix}"
    except OutputError as error:
        logger.warning("{} is no job's, and cannot be put into quarantine: {}", name, error)
        return None
    logger.warning("{} is no job's of this database; it is {} now, and stays there", name, wanted)
    return wanted
