"""Which version of a stored file was published, where the store keeps versions."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("version", sa.String(1024)))


def downgrade() -> None:
    op.drop_column("artifacts", "version")
