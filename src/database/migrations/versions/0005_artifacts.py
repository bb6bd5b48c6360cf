"""Artifacts are rows. What earlier versions published and kept gets its rows from the jobs; sizes
are measured when the service starts.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
jobs = sa.table(
    "jobs", sa.column("id"), sa.column("request", sa.JSON), sa.column("artifact"),
    sa.column("pinned", sa.Boolean), sa.column("created_at"), sa.column("finished_at"),
)  # fmt: skip
COLUMNS = (
    sa.Column("key", sa.String(1600), primary_key=True),
    sa.Column("job", sa.String(32)),
    sa.Column("parent", sa.String(1600)),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("sha256", sa.String(64)),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("release", sa.String(16)),
)
BATCH = 500


def upgrade() -> None:
    made = op.create_table("artifacts", *COLUMNS)
    op.create_index("artifacts_of_job", "artifacts", ["job"])
    op.create_index("artifacts_by_parent", "artifacts", ["parent"])
    connection, rows = op.get_bind(), {}
    for job in connection.execute(sa.select(jobs)):
        rows |= {row["key"]: row for row in (*_source(job), *_clip(job)) if row["key"] not in rows}
    told = list(rows.values())
    for begin in range(0, len(told), BATCH):
        connection.execute(sa.insert(made), told[begin : begin + BATCH])


def _key(address: Any) -> str | None:
    kind, _, name = str(address or "").partition(":")
    folder = "uploads" if name.endswith(".video") else "photographs"
    return (
        f"{ {'sha256': folder, 'artifact': 'examples'}[kind] }/{name}"
        if kind in ("sha256", "artifact")
        else None
    )


def _asked(job: Any) -> str | None:
    return _key(job.request.get("input_image") or job.request.get("input"))


def _source(job: Any) -> list[dict[str, Any]]:
    """The photograph or upload that a job reads; a clip is another job's."""
    if (key := _asked(job)) is None or key.startswith("examples/"):
        return []
    kind, name = key.removesuffix("s").partition("s/")[0], key.partition("/")[2]
    return [_row(key, kind, job.created_at, sha256=name.partition(".")[0])]


def _clip(job: Any) -> list[dict[str, Any]]:
    if not job.artifact:
        return []
    told = {"job": job.id, "parent": _asked(job), "pinned": job.pinned}
    return [_row(f"examples/{job.artifact}", "clip", job.finished_at or job.created_at, **told)]


def _row(key: str, kind: str, created: float, **told: Any) -> dict[str, Any]:
    empty = {
        "job": None,
        "parent": None,
        "sha256": None,
        "bytes": None,
        "pinned": False,
        "release": None,
    }
    return empty | {"key": key, "kind": kind, "created": created} | told


def downgrade() -> None:
    op.drop_table("artifacts")
