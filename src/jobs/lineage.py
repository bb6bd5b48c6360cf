"""What a job's clip has of the clips that it is made of: who made them, whether the visible label
is in their picture, and whether one is a draft. Looked up once, when the job is stored: a source
may be deleted later.

A source is the clip that a request names (`of`), and any clip whose very bytes were uploaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select

from src.core.addresses import VIDEO, is_stored, name_in
from src.database.database import Database
from src.database.tables import artifacts, jobs
from src.jobs.model import LABELLED, PARENT


@dataclass(frozen=True)
class Lineage:
    """makers: ids of the keys that made a source, or a source of one, in order. labelled: whether
    the label is in the whole picture. draft: whether it is one, or a source is.
    """

    makers: tuple[str, ...]
    labelled: bool
    draft: bool


def lineage(database: Database, request: dict[str, Any]) -> Lineage:
    """Of a job that is about to be stored with this request."""
    sources = _sources(database, request)
    makers = dict.fromkeys(each for row in sources for each in (*row.makers, row.owner))
    there = bool(sources) and all(row.labelled for row in sources)
    draft = bool(request.get("draft")) or any(row.draft for row in sources)
    return Lineage(tuple(makers), is_labelled(request, there), draft)


def is_labelled(request: dict[str, Any], source: bool) -> bool:
    """Whether the label is in the whole picture. source: whether it is in that of the source. A
    clip that goes on with another one keeps the pictures of that as they are.
    """
    asked = bool(request.get(LABELLED) or request.get("label"))
    return asked and source if request.get("extend") else asked or source


def _sources(database: Database, request: dict[str, Any]) -> Sequence[Any]:
    if (which := _which(request)) is None:
        return ()
    columns = jobs.c.owner, jobs.c.makers, jobs.c.labelled, jobs.c.draft
    query = select(*columns).where(which).order_by(jobs.c.id)
    with database.read() as connection:
        return connection.execute(query).all()


def _which(request: dict[str, Any]) -> ColumnElement[bool] | None:
    """The jobs whose clips a request reads; None where it reads none that could be one's."""
    if parent := request.get(PARENT):
        return jobs.c.id == parent
    address = str(request.get("input") or "")
    if not is_stored(address) or not address.endswith(VIDEO):
        return None
    sha256 = name_in(address).removesuffix(VIDEO)
    return jobs.c.id.in_(
        select(artifacts.c.job).where(artifacts.c.sha256 == sha256, artifacts.c.job.is_not(None))
    )
