"""Rows of artifacts, written in the transaction that makes them true."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from src.core.addresses import CLIPS, RELEASES, STORED, UPLOADS, StoredFile, name_of
from src.database.tables import artifacts

CLIP, MANIFEST, PHOTOGRAPH, UPLOAD = "clip", "manifest", "photograph", "upload"
RELEASED = "released"
HELD = ("submitted", "approved", RELEASED)
"""States of a release in which nobody deletes its clip."""
KEPT = (*HELD, "withdrawn", "superseded")
"""States in which retention leaves it: what was out once can be asked for later."""
ADD = {
    "sqlite": sqlite.insert(artifacts).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(artifacts).on_conflict_do_nothing(),
}


def row(file: StoredFile, created: float, **told: Any) -> dict[str, Any]:
    """The row of a file. told: job, parent, pinned, where there is something to tell."""
    empty = {"job": None, "parent": None, "pinned": False, "release": None}
    sha256 = file.sha256 or hash_in(file.key)
    own = {"key": file.key, "kind": kind_of(file.key), "sha256": sha256, "bytes": file.bytes,
           "version": file.version}  # fmt: skip
    return empty | own | {"created": created} | told


def hash_in(key: str) -> str | None:
    """The hash that a photograph's or upload's name says; None for other names."""
    name = name_of(key)
    return name.partition(".")[0] if STORED.fullmatch(name) else None


def kind_of(key: str) -> str:
    """What lies at a key."""
    if key.startswith(CLIPS):
        return MANIFEST if key.endswith(".json") else CLIP
    if key.startswith(RELEASES):
        return CLIP
    return UPLOAD if key.startswith(UPLOADS) else PHOTOGRAPH


def add_artifacts(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Add those that are not there. In the order of their keys, so that two who add the same ones
    do not wait for each other.
    """
    told = sorted(rows, key=lambda each: each["key"])
    if told:
        connection.execute(ADD[connection.dialect.name], told)
