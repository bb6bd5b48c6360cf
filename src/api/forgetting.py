"""Removing a job with everything that is its own: clip, manifest, preview, what was served of it,
and its photograph or upload.
"""

from src.artifacts.index import ArtifactIndex
from src.artifacts.store import ArtifactStore
from src.core.addresses import PREVIEWS, clip_key, is_stored, known_key, name_of
from src.jobs import references
from src.jobs.model import Job
from src.jobs.rows import address_in
from src.jobs.store import JobStore
from src.journal.entries import SERVICE
from src.worker.inventory import Inventory
from src.worker.names import remove_attempt, remove_pictures


class Forgetter:
    """Forgets jobs of one store. A stored photograph stays while another job, or a command's
    manifest, names it.
    """

    def __init__(self, store: JobStore, files: ArtifactStore) -> None:
        self.store, self.files = store, files
        self.index = ArtifactIndex(store.database)
        self.inventory = Inventory(files, self.index, store)

    def forget(self, job_id: str, by: str = SERVICE, seen: Job | None = None) -> Job:
        """Delete the job and its files. by: the key that wants it. seen: as for `JobStore.delete`,
        which says what is raised; a job whose files cannot be reached stays.
        """
        self.files.look(f"{PREVIEWS}{job_id}.jpg")  # raises while the store is away
        served = self.index.served_of(job_id)
        job = self.store.delete(job_id, None, seen, by)
        self.files.delete(*served)
        if job.artifact:
            remove_attempt(self.files, clip_key(job.artifact))
        remove_pictures(self.files, job)
        if (key := kept_for(job)) is not None:
            self.drop(key)
        return job

    def drop(self, key: str) -> None:
        """Remove a stored file that nothing names. It goes out of the way first: whoever submits it
        meanwhile finds it gone and stores it again, or is seen by the second look.
        """
        folder, _, name = key.rpartition("/")
        gone = f"{folder}/.{name}.forgotten.partial"
        if self.is_named(key):
            return
        if self.files.move(key, gone):
            if self.is_named(key) and self.files.move(gone, key):
                return
            self.files.delete(gone)
        self.index.forget([key])

    def is_named(self, key: str) -> bool:
        """By a job of the database, or by the manifest of a clip that a command made."""
        if references.still_named(self.store.database, [name_of(key)]):
            return True
        self.inventory.note_commands()
        return bool(self.index.made_of(key))


def kept_for(job: Job) -> str | None:
    """The photograph or upload that a job reads; None for a clip, which another job owns."""
    address = address_in(job.request)
    return known_key(address) if address and is_stored(address) else None
