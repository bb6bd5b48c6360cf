"""Jobs carry the trace of the request that made them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("traceparent", sa.String(64)))


def downgrade() -> None:
    op.drop_column("jobs", "traceparent")
