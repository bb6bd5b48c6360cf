"""A release says whether its picture is labelled, and what is served in place of its file."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
NEW = ("served_key", 1600), ("served_version", 1024), ("served_sha256", 64)


def upgrade() -> None:
    labelled = sa.Column("labelled", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("releases", labelled)
    for name, length in NEW:
        op.add_column("releases", sa.Column(name, sa.String(length)))


def downgrade() -> None:
    for name in ("labelled", *(name for name, _ in NEW)):
        op.drop_column("releases", name)
