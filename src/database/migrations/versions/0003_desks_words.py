"""The desk of a key, and the words by which a job is found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
jobs = sa.table("jobs", sa.column("id"), sa.column("request", sa.JSON), sa.column("words"))


def upgrade() -> None:
    op.add_column("keys", sa.Column("desk", sa.String(100), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("words", sa.Text, nullable=False, server_default=""))
    connection = op.get_bind()
    rows = connection.execute(sa.select(jobs.c.id, jobs.c.request)).all()
    found = [{"job": row.id, "text": _words(row.request)} for row in rows]
    change = sa.update(jobs).where(jobs.c.id == sa.bindparam("job"))
    if found:
        connection.execute(change.values(words=sa.bindparam("text")), found)


def _words(request: dict) -> str:
    parts = [request.get(name) for name in ("prompt", "template", "name")]
    parts += (request.get("set") or {}).values()
    return " ".join(str(part) for part in parts if part).casefold()


def downgrade() -> None:
    op.drop_column("jobs", "words")
    op.drop_column("keys", "desk")
