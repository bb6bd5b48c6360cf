"""Store and rows made to agree: at the start, every minute, and before a photograph is removed."""

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from loguru import logger

from src.artifacts.index import ArtifactIndex, Known
from src.artifacts.store import ArtifactStore
from src.core.addresses import (
    CLIPS,
    KEPT,
    PHOTOGRAPHS,
    RELEASES,
    STORED,
    StoredFile,
    known_key,
    manifest_key,
    stored_key,
)
from src.core.errors import MissingFileError
from src.database import artifact_rows
from src.jobs.model import Job
from src.jobs.rows import address_in
from src.jobs.store import JobStore
from src.worker.leftovers import STRANGE_S, is_needed, is_older, quarantine, sort_out
from src.worker.names import AttemptFile, attempts_among, is_attempt

MOST = 64 << 20  # bytes of a manifest
DIGEST = re.compile(r"[0-9a-f]{64}")


class Inventory:
    """What the store holds is listed first and the database asked then: what comes in between is
    not judged.
    """

    def __init__(self, files: ArtifactStore, index: ArtifactIndex, store: JobStore) -> None:
        self.files, self.index, self.store = files, index, store

    def settle(self) -> list[str]:
        """Remove what dead attempts left, put what nobody knows into quarantine, give rows to the
        rest, and measure what was not measured. Returns what was removed.
        """
        listed = {key for folder in KEPT for key in self.files.list(folder)}
        parts = attempts_among(self.files.unfinished(CLIPS), partial=True)
        known = self.index.known()
        new = listed - known.keys()
        unknown = attempts_among(key for key in new if key.startswith(CLIPS))
        jobs = self.store.many({attempt.job for attempt in (*parts, *unknown)})
        removed, _ = sort_out(self.files, jobs, (*parts, *unknown))
        self._set_aside(new)
        self.index.add(self._published(unknown, jobs) + self._photographs(new))
        self._measure(listed, known)
        self._miss(known.keys() - listed, known)
        self._note(listed, known)
        return removed

    def _set_aside(self, new: Iterable[str]) -> None:
        """Files that were to be served of a release which was not let out then, or which this
        database does not know. One that was just made gets its row in a moment.
        """
        served = [key for key in new if key.startswith(RELEASES)]
        quarantine(self.files, [key for key in served if is_older(self.files, key, STRANGE_S)])

    def _published(self, files: list[AttemptFile], jobs: dict[str, Job]) -> list[dict[str, Any]]:
        """Rows of what a job has published, such as its manifest, that earlier versions kept none
        of.
        """
        made = []
        for attempt in files:
            job = jobs.get(attempt.job)
            if job is not None and is_needed(attempt, job) and job.artifact == attempt.artifact:
                told = {
                    "job": job.id,
                    "parent": known_key(address_in(job.request)),
                    "pinned": job.pinned,
                }
                file = self.files.look(attempt.key) or StoredFile(attempt.key)
                made.append(artifact_rows.row(file, job.finished_at or time.time(), **told))
        return made

    def _photographs(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of photographs that commands kept. Uploads get theirs with their jobs."""
        files = [self.files.look(key) for key in keys if key.startswith(PHOTOGRAPHS)]
        return [artifact_rows.row(file, _written(file)) for file in files if file is not None]

    def _measure(self, listed: set[str], known: dict[str, Known]) -> None:
        """Sizes that nobody told yet."""
        unmeasured = [key for key in listed & known.keys() if known[key].bytes is None]
        files = [self.files.look(key) for key in unmeasured]
        self.index.change(
            [{"key": file.key, "bytes": file.bytes} for file in files if file is not None]
        )

    def _miss(self, keys: Iterable[str], known: dict[str, Known]) -> None:
        """Files that were removed by hand take no room; only what a job names keeps its row."""
        gone = [
            key for key in keys if known[key].bytes is not None and self.files.look(key) is None
        ]
        self.index.change([{"key": key, "bytes": None} for key in gone])
        self.index.forget([key for key in gone if known[key].job is None])

    def note_commands(self) -> None:
        """Rows of clips and manifests that commands made in the home's folder since the last look:
        what photographs they name is known then. Those that were removed by hand name none any
        more.
        """
        listed, known = set(self.files.list(CLIPS)), self.index.known_of_commands()
        self._miss(known.keys() - listed, known)
        self._note(listed, known)

    def _note(self, listed: set[str], known: dict[str, Known]) -> None:
        theirs = [key for key in listed if key.startswith(CLIPS) and not is_attempt(key)]
        files = [file for key in theirs if (file := self.files.look(key)) is not None]
        rows = [self._of_command(file) for file in files if not _is_same(known.get(file.key), file)]
        self.index.add([row for row in rows if row["key"] not in known])
        fields = ("key", "parent", "bytes", "created")
        changed = [row for row in rows if row["key"] in known]
        self.index.change([{name: row[name] for name in fields} for row in changed])

    def _of_command(self, file: StoredFile) -> dict[str, Any]:
        parent = self._photograph_of(manifest_key(file.key))
        return artifact_rows.row(file, _written(file), parent=parent)

    def _photograph_of(self, manifest: str) -> str | None:
        """The photograph that a manifest names; in a file of another form, the first kept one whose
        hash stands in it.
        """
        try:
            with self.files.open(manifest) as stream:
                text = stream.read(MOST).decode(errors="replace")
        except MissingFileError:
            return None
        except OSError as error:
            logger.warning(
                "{} cannot be read, nor what it was made of: {}", manifest, error.strerror
            )
            return None
        if (name := _named(text)) is not None:
            return stored_key(name)
        digests = dict.fromkeys(DIGEST.findall(text))
        kept = (key for each in digests for key in self.files.list(f"{PHOTOGRAPHS}{each}."))
        return next(kept, None)


def _named(text: str) -> str | None:
    """`photograph` of a manifest."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    name = told.get("photograph") if isinstance(told, dict) else None
    return name if isinstance(name, str) and STORED.fullmatch(name) else None


def _written(file: StoredFile) -> float:
    return file.modified or time.time()


def _is_same(row: Known | None, file: StoredFile) -> bool:
    return row is not None and (row.bytes, row.created) == (file.bytes, file.modified)
