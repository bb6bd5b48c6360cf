"""Jobs name what they read by addresses, and what is asked by the vocabulary's own names."""

import re
from pathlib import PurePath
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
jobs = sa.table("jobs", sa.column("id"), sa.column("request", sa.JSON))
NAMES = {
    "quality": "preset", "denoiseLevel": "denoise", "preserveDetails": "preserve_details",
    "guideScale": "guidance_scale",
}  # fmt: skip
DIGEST = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9]{1,8}")
ADDRESS = re.compile(r"(sha256|artifact):.+")


def upgrade() -> None:
    _change(_newer)


def downgrade() -> None:
    raise NotImplementedError(
        "the folder of the home that paths began with is not kept; restore a backup"
    )


def _change(changed: Any) -> None:
    """Each request anew, where that makes a difference."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(jobs.c.id, jobs.c.request)).all()
    told = [{"job": row.id, "now": changed(row.request)} for row in rows]
    told = [each for each, row in zip(told, rows, strict=True) if each["now"] != row.request]
    change = sa.update(jobs).where(jobs.c.id == sa.bindparam("job"))
    if told:
        connection.execute(change.values(request=sa.bindparam("now", type_=sa.JSON)), told)


def _newer(request: dict[str, Any]) -> dict[str, Any]:
    made = {NAMES.get(name, name): value for name, value in request.items()}
    for name in ("input_image", "input"):
        if made.get(name):
            made[name] = _address(str(made[name]))
    if isinstance(made.get("preserve_details"), bool):
        made["preserve_details"] = float(made["preserve_details"])
    return made


def _address(path: str) -> str:
    """Of the file that lay at a path of a home; its name told already what it was."""
    name = PurePath(path).name
    if ADDRESS.fullmatch(path):
        return path
    return f"sha256:{name}" if DIGEST.fullmatch(name) else f"artifact:{name}"
