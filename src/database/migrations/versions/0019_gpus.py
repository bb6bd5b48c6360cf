"""A job knows how many devices make its clip together; those that there are take one."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpus", sa.Integer, nullable=False, server_default="1"))
    op.create_index("jobs_by_gpus", "jobs", ["state", "gpus"])


def downgrade() -> None:
    op.drop_index("jobs_by_gpus", "jobs")
    op.drop_column("jobs", "gpus")
