"""Keys have rights of their own in place of a rank, and belong to a person or to a service."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
RIGHTS = {"read": "read", "submit": "read submit", "admin": "admin read submit"}
keys = sa.table("keys", sa.column("role"), sa.column("rights"))


def upgrade() -> None:
    op.add_column("keys", sa.Column("rights", sa.String(100), nullable=False, server_default=""))
    op.add_column("keys", sa.Column("person", sa.String(100), nullable=False, server_default=""))
    for role, rights in RIGHTS.items():
        op.execute(sa.update(keys).where(keys.c.role == role).values(rights=rights))
    op.drop_column("keys", "role")


def downgrade() -> None:
    op.add_column("keys", sa.Column("role", sa.String(16), nullable=False, server_default="read"))
    for role in ("submit", "admin"):
        has = keys.c.rights.contains(role)
        op.execute(sa.update(keys).where(has).values(role=role))
    op.drop_column("keys", "person")
    op.drop_column("keys", "rights")
