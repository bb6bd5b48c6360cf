"""A job knows who made the clips that its own is made of, and whether these carry the label; so
does its release.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

JOBS = sa.table("jobs", sa.column("id"), sa.column("parent"), sa.column("owner"),
                sa.column("request", sa.JSON), sa.column("makers", sa.JSON),
                sa.column("labelled", sa.Boolean))  # fmt: skip
RELEASES = sa.table("releases", sa.column("job"), sa.column("makers", sa.JSON))


def upgrade() -> None:
    for table in ("jobs", "releases"):
        makers = sa.Column("makers", sa.JSON, nullable=False, server_default="[]")
        op.add_column(table, makers)
    labelled = sa.Column("labelled", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("jobs", labelled)
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """As `src/jobs/lineage.py` has it today, of the jobs that there are: sources come first, for
    ids grow with time.
    """
    known: dict[str, tuple[str, list[str], bool]] = {}
    query = sa.select(JOBS.c.id, JOBS.c.parent, JOBS.c.owner, JOBS.c.request).order_by(JOBS.c.id)
    for row in connection.execute(query).all():
        owner, before, there = known.get(str(row.parent), ("", [], False))
        makers = list(dict.fromkeys([*before, *filter(None, [owner])]))
        labelled = _labelled(row.request, there)
        known[row.id] = row.owner, makers, labelled
        if makers or labelled:
            said = {"makers": makers, "labelled": labelled}
            connection.execute(sa.update(JOBS).where(JOBS.c.id == row.id).values(said))
        if makers:
            mine = RELEASES.c.job == row.id
            connection.execute(sa.update(RELEASES).where(mine).values(makers=makers))


def _labelled(request: dict[str, Any], there: bool) -> bool:
    asked = bool(request.get("labelled_copy") or request.get("label"))
    return asked and there if request.get("extend") else asked or there


def downgrade() -> None:
    op.drop_column("jobs", "labelled")
    for table in ("jobs", "releases"):
        op.drop_column(table, "makers")
