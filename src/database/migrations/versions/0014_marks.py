"""The register of watermarks and fingerprints."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("artifact", sa.String(1600), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("mark", sa.String(12), nullable=False),
        sa.Column("key", sa.String(8), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("marks_by_mark", "marks", ["mark"])


def downgrade() -> None:
    op.drop_table("marks")
