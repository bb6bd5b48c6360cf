"""Releases: which bytes were submitted, approved, released and withdrawn, and by which keys."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("open_job", sa.String(32), unique=True),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("key", sa.String(1600), nullable=False),
        sa.Column("version", sa.String(1024)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("embargo", sa.Float),
        sa.Column("supersedes", sa.String(32)),
        sa.Column("successor", sa.String(32)),
        sa.Column("submitter", sa.String(32)),
        sa.Column("approver", sa.String(32)),
        sa.Column("releaser", sa.String(32)),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("submitted_at", sa.Float),
        sa.Column("decided_at", sa.Float),
        sa.Column("released_at", sa.Float),
        sa.Column("ended_at", sa.Float),
    )
    op.create_index("releases_by_state", "releases", ["state", "id"])
    op.create_index("releases_of_job", "releases", ["job"])


def downgrade() -> None:
    op.drop_table("releases")
