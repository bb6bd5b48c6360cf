"""Removing a job with everything that is its own: clip, manifest, preview, and its photograph or
upload.
"""

import re
from pathlib import Path

from src.artifacts.addresses import found, is_stored
from src.core.durable import sync_folder
from src.core.paths import examples
from src.jobs import references
from src.jobs.model import Job
from src.jobs.store import JobStore, address_in
from src.worker.names import ATTEMPT, remove_attempt, remove_pictures

DIGEST = re.compile(r"[0-9a-f]{64}")


class Forgetter:
    """Forgets jobs of one store. A stored photograph stays while another job, or a command's
    manifest, names it.
    """

    def __init__(self, store: JobStore) -> None:
        self.store, self._told = store, {}

    def forget(self, job_id: str, owner: str | None = None, even_pinned: bool = True) -> Job:
        """Delete the job and its files. Raises as `JobStore.delete`."""
        job = self.store.delete(job_id, owner, even_pinned)
        if job.artifact:
            remove_attempt(examples() / job.artifact)
        remove_pictures(examples(), job)
        if (path := stored_file(job)) is not None:
            self.drop(path)
        return job

    def drop(self, path: Path) -> None:
        """Remove a stored file that nothing names. It goes out of the way first: whoever submits it
        meanwhile finds it gone and stores it again, or is seen by the second look.
        """
        gone = path.with_name(f".{path.name}.forgotten.partial")
        if self.is_named(path) or not path.exists():
            return
        path.rename(gone)
        if self.is_named(path) and not path.exists():
            gone.rename(path)
        else:
            gone.unlink(missing_ok=True)
        sync_folder(path.parent)

    def is_named(self, path: Path) -> bool:
        """By a job of the database, or by the manifest of a clip that a command made."""
        if references.named(self.store.database, [path.name]):
            return True
        return path.stem in self._by_commands()

    def _by_commands(self) -> set[str]:
        """Hashes of photographs in manifests of no job; each manifest is read once for its time of
        change.
        """
        folder = examples()
        for path in folder.glob("*.json") if folder.is_dir() else ():
            if not ATTEMPT.fullmatch(path.name) and not path.is_symlink():
                key = (path.name, path.stat().st_mtime_ns)
                if key not in self._told:
                    self._told[key] = set(
                        DIGEST.findall(path.read_text(encoding="utf-8", errors="replace"))
                    )
        return set().union(*self._told.values()) if self._told else set()


def stored_file(job: Job) -> Path | None:
    """The photograph or upload that a job reads; None for a clip, which another job owns."""
    address = address_in(job.request)
    return found(address) if address and is_stored(address) else None
