"""A job knows whether its clip is a draft, or made of one: such clips are not let out."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

JOBS = sa.table("jobs", sa.column("id"), sa.column("parent"), sa.column("request", sa.JSON),
                sa.column("draft", sa.Boolean))  # fmt: skip


def upgrade() -> None:
    draft = sa.Column("draft", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("jobs", draft)
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """As `src/jobs/lineage.py` has it today, of the jobs that there are: sources come first, for
    ids grow with time.
    """
    drafts: set[str] = set()
    query = sa.select(JOBS.c.id, JOBS.c.parent, JOBS.c.request).order_by(JOBS.c.id)
    for row in connection.execute(query).all():
        if row.request.get("draft") or row.parent in drafts:
            drafts.add(row.id)
            connection.execute(sa.update(JOBS).where(JOBS.c.id == row.id).values(draft=True))


def downgrade() -> None:
    op.drop_column("jobs", "draft")
