"""What a job reads, enlarges and costs; whose turn it is; the right to breaking news; facts about
the database.
"""

from pathlib import PurePath

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
jobs = sa.table(
    "jobs", sa.column("id"), sa.column("request", sa.JSON), sa.column("parent"), sa.column("source")
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent", sa.String(32)))
    op.add_column("jobs", sa.Column("source", sa.String(255)))
    op.add_column("jobs", sa.Column("cost", sa.Float, nullable=False, server_default="0"))
    op.add_column(
        "keys", sa.Column("breaking", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.execute(sa.update(sa.table("keys", sa.column("breaking"))).values(breaking=sa.true()))
    _fill()
    op.drop_index("jobs_next", "jobs")
    op.create_index("jobs_turns", "jobs", ["state", "owner", "priority", "rank"])
    op.create_index("jobs_by_parent", "jobs", ["parent"])
    op.create_index("jobs_by_source", "jobs", ["source"])
    op.create_table(
        "turns",
        sa.Column("owner", sa.String(32), primary_key=True),
        sa.Column("priority", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("served_at", sa.Float, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(255), nullable=False),
    )


def _fill() -> None:
    """Keys of before keep the right to breaking news; jobs of before say what they read and
    enlarge.
    """
    connection = op.get_bind()
    rows = connection.execute(sa.select(jobs.c.id, jobs.c.request)).all()
    found = [
        {"job": row.id, "of": row.request.get("of"), "file": _file(row.request)} for row in rows
    ]
    told = [each for each in found if each["of"] or each["file"]]
    change = sa.update(jobs).where(jobs.c.id == sa.bindparam("job"))
    if told:
        connection.execute(
            change.values(parent=sa.bindparam("of"), source=sa.bindparam("file")), told
        )


def _file(request: dict) -> str | None:
    path = request.get("input_image") or request.get("input")
    return PurePath(path).name if path else None


def downgrade() -> None:
    for name in ("facts", "turns"):
        op.drop_table(name)
    for name in ("jobs_by_source", "jobs_by_parent", "jobs_turns"):
        op.drop_index(name, "jobs")
    op.create_index("jobs_next", "jobs", ["state", "rank"])
    for table, names in (("keys", ("breaking",)), ("jobs", ("cost", "source", "parent"))):
        for name in names:
            op.drop_column(table, name)
