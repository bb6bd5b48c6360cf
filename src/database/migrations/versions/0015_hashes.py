"""Files are found by their hash."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index("artifacts_by_hash", "artifacts", ["sha256"])


def downgrade() -> None:
    op.drop_index("artifacts_by_hash", "artifacts")
