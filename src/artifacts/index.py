"""The rows of artifacts: what retention, the disk limit and downloads go by."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, bindparam, delete, exists, func, select, update

from src.core.addresses import RELEASES, name_of
from src.database import artifact_rows
from src.database.database import Clock, Database, batches
from src.database.tables import artifacts, jobs


@dataclass(frozen=True)
class ArtifactRow:
    """A row. key: in the store. job: that made it; None for what several jobs read, and for clips
    of commands. parent: key of what it was made of. kind: clip, manifest, photograph, upload.
    bytes: None until it is measured. created: seconds since the epoch; of a command's file, when it
    was written. pinned: its job is. release: state of its release; None where nobody asked for one.
    version: as `StoredFile` has it.
    """

    key: str
    job: str | None
    parent: str | None
    kind: str
    sha256: str | None
    bytes: int | None
    created: float
    pinned: bool
    release: str | None
    version: str | None = None


class Known(NamedTuple):
    """Of a row: the job that made the file, its bytes and its time, as in `ArtifactRow`."""

    job: str | None
    bytes: int | None
    created: float


class ArtifactIndex:
    """Questions about rows, and rows of what no job's transaction wrote."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self.database, self.clock = database, clock

    def find(self, key: str) -> tuple[ArtifactRow, str | None] | None:
        """The row, and the owner of its job; None where there is none."""
        owned = select(artifacts, jobs.c.owner).outerjoin(jobs, jobs.c.id == artifacts.c.job)
        with self.database.read() as connection:
            row = connection.execute(owned.where(artifacts.c.key == key)).one_or_none()
        return (_artifact(row), row.owner) if row else None

    def made_by(self, sha256: str) -> list[str]:
        """Ids of the jobs whose clips have these bytes, the newest first."""
        wanted = (artifacts.c.sha256 == sha256) & (artifacts.c.kind == artifact_rows.CLIP)
        query = select(artifacts.c.job).where(wanted, artifacts.c.job.is_not(None))
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(artifacts.c.created.desc())).scalars())

    def made_of(self, key: str) -> list[ArtifactRow]:
        """What was made of the file at this key, oldest first: clips of a photograph, enlargements
        of a clip.
        """
        query = select(artifacts).where(artifacts.c.parent == key).order_by(artifacts.c.created)
        with self.database.read() as connection:
            return [_artifact(row) for row in connection.execute(query)]

    def served_of(self, job_id: str) -> list[str]:
        """Keys of what was served of this job's released clips in their place."""
        mine = (artifacts.c.job == job_id) & artifacts.c.key.startswith(RELEASES)
        with self.database.read() as connection:
            return list(connection.execute(select(artifacts.c.key).where(mine)).scalars())

    def known(self, *conditions: ColumnElement[bool]) -> "dict[str, Known]":
        """What is told of every file that has a row, by key."""
        columns = (artifacts.c.key, artifacts.c.job, artifacts.c.bytes, artifacts.c.created)
        with self.database.read() as connection:
            rows = connection.execute(select(*columns).where(*conditions))
            return {row.key: Known(row.job, row.bytes, row.created) for row in rows}

    def known_of_commands(self) -> "dict[str, Known]":
        """The same of clips and manifests that no job made."""
        kinds = (artifact_rows.CLIP, artifact_rows.MANIFEST)
        return self.known(artifacts.c.job.is_(None), artifacts.c.kind.in_(kinds))

    def total(self) -> int:
        """Bytes of all that is kept."""
        with self.database.read() as connection:
            return connection.execute(select(func.sum(artifacts.c.bytes))).scalar() or 0

    def bytes_of_jobs(self, ids: Collection[str]) -> dict[str, int]:
        """Bytes of the files that each job made."""
        return self._sizes(artifacts.c.job, ids)

    def bytes_of(self, keys: Collection[str]) -> dict[str, int]:
        """Bytes of each of these files."""
        return self._sizes(artifacts.c.key, keys)

    def released(self, ids: Collection[str]) -> set[str]:
        """Those of these jobs whose clips are out, were, or are to be approved: retention leaves
        them.
        """
        out = artifacts.c.release.in_(artifact_rows.KEPT)
        found: set[str] = set()
        with self.database.read() as connection:
            for some in batches(sorted(ids)):
                query = select(artifacts.c.job).where(artifacts.c.job.in_(some), out)
                found |= set(connection.execute(query).scalars())
        return found

    def _sizes(self, column: Column[Any], wanted: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        with self.database.read() as connection:
            for some in batches(sorted(wanted)):
                query = select(column, func.sum(artifacts.c.bytes)).where(column.in_(some))
                rows = connection.execute(query.group_by(column))
                found |= {name: size or 0 for name, size in rows}
        return found

    def add(self, rows: Collection[dict[str, Any]]) -> None:
        """Rows that `artifact_rows.row` made; those that are there stay as they are."""
        if rows:
            with self.database.write() as connection:
                artifact_rows.add_artifacts(connection, rows)

    def change(self, told: Collection[dict[str, Any]]) -> None:
        """Other values of rows, each with its key; all tell the same columns. In the order of their
        keys, so that two who change the same ones do not wait for each other in a ring.
        """
        if told:
            columns = next(iter(told)).keys() - {"key"}
            change = update(artifacts).where(artifacts.c.key == bindparam("of_key"))
            change = change.values({name: bindparam(f"new_{name}") for name in columns})
            rows = [
                {"of_key": each["key"]} | {f"new_{name}": each[name] for name in columns}
                for each in sorted(told, key=lambda each: each["key"])
            ]
            with self.database.write() as connection:
                connection.execute(change, rows)

    def forget(self, keys: Collection[str]) -> None:
        """Remove the rows of files that are gone, unless a job reads them again by now."""
        if keys:
            with self.database.write() as connection:
                for key in sorted(keys):
                    read = exists().where(jobs.c.source == name_of(key))
                    free = artifacts.c.job.is_(None) & ~read
                    connection.execute(delete(artifacts).where(artifacts.c.key == key, free))


def _artifact(row: Any) -> ArtifactRow:
    return ArtifactRow(**{column.name: getattr(row, column.name) for column in artifacts.columns})
