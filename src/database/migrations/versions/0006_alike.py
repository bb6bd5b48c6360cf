"""Who waits for a loaded model is found by an index: a claim looks there first."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("jobs_alike", "jobs", ["state", "group", "rank"])


def downgrade() -> None:
    op.drop_index("jobs_alike", "jobs")
