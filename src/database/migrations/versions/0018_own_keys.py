"""Idempotency keys that the service gives itself lie apart from those of clients."""

from alembic import op

revision = "0018"
down_revision = "0017"

OWN = "newsreel:"
"""As `src/jobs/model.py` has it today."""


def upgrade() -> None:
    """Clients' keys never made a job of this kind."""
    op.execute(
        f"UPDATE jobs SET idempotency_key = '{OWN}' || idempotency_key "
        "WHERE kind = 'upscale' AND idempotency_key IS NOT NULL"
    )


def downgrade() -> None:
    op.execute(
        f"UPDATE jobs SET idempotency_key = substr(idempotency_key, {len(OWN) + 1}) "
        f"WHERE kind = 'upscale' AND idempotency_key LIKE '{OWN}%'"
    )
