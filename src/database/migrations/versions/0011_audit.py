"""The audit log: a chain of entries that nobody changes or removes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
SENTENCE = "entries of the audit log are never changed or removed"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    made = _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE
    for statement in made:
        op.execute(statement)


_SQLITE = [
    f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit "
    f"BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
    for what in ("UPDATE", "DELETE")
] + [
    # REPLACE removes a row without the trigger of DELETE
    "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
    "WHEN NEW.number <= (SELECT max(number) FROM audit) "
    f"BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
]
_POSTGRESQL = [
    "CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{SENTENCE}'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit "
    "FOR EACH ROW EXECUTE FUNCTION audit_is_kept()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()",
]


def downgrade() -> None:
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_is_kept()")
