"""Which artifact store is used: one more is a file beside this one, and its line here."""

import io
import os
from pathlib import Path

from src.artifacts.folder import FolderStore
from src.artifacts.store import ArtifactStore, Patience
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import home
from src.database import house
from src.database.database import Database

NOTE = f"house/{house.FILE}"
CACHE = 4_000_000_000
"""Bytes of local copies of a store elsewhere."""


def open_store(patience: Patience | None = None) -> ArtifactStore:
    """The store that `NEWSREEL_STORE` names; the home's folder where it names none. Raises
    BadInputError where it cannot be used as it is set.

    patience: who decides whether to wait while the store is away; None: nobody waits.
    """
    url = os.environ.get("NEWSREEL_STORE") or ""
    return open_s3(url, patience) if url else FolderStore(home())


def open_s3(url: str, patience: Patience | None = None) -> ArtifactStore:
    """The bucket of a URL `s3://BUCKET/PREFIX?endpoint=...`; `open_store` says what is raised."""
    from src.artifacts.s3_place import needed, read_place

    place = read_place(url)
    needed()
    from src.artifacts.s3 import S3Store

    files = S3Store(place, home() / "cache" / "store", _cache(), patience)
    files.check()
    return files


def _cache() -> int:
    text = os.environ.get("NEWSREEL_STORE_CACHE") or str(CACHE)
    if text.isdecimal():
        return int(text)
    raise BadInputError(f"NEWSREEL_STORE_CACHE is {text!r}; it must be a number of bytes")


def bind_store(database: Database, files: ArtifactStore, adopt: bool = False) -> str:
    """`house.bind` of the database with where its files lie: the home, or the store elsewhere."""
    return house.bind(database, place_of(files), adopt)


def place_of(files: ArtifactStore) -> Path | house.Note:
    """Where the id of a store's database is noted."""
    return files.root if isinstance(files, FolderStore) else StoreNote(files)


class StoreNote:
    """A file of a store elsewhere."""

    def __init__(self, files: ArtifactStore) -> None:
        self.files = files

    def __str__(self) -> str:
        return "the store"

    def read(self) -> str | None:
        try:
            with self.files.open(NOTE) as stream:
                return stream.read().decode("ascii", "replace").strip() or None
        except MissingFileError:
            return None

    def write(self, shared: str) -> None:
        self.files.put(NOTE, io.BytesIO(f"{shared}\n".encode()))

    def holds(self, database: Database) -> bool:
        return False
