"""Keys that the service gave itself before 0018 are found as its own; clients' stay theirs."""

from alembic import command
from sqlalchemy import text

from tests.database.test_rights import _to

JOBS = [("1", "generate", "label 7"), ("2", "upscale", "label 7b"), ("3", "upscale", None)]


def test_only_the_services_keys_move(empty_database):
    _to(empty_database, "0017")
    job = (
        'INSERT INTO jobs (id, owner, request, kind, state, "group", priority, rank, created_at, '
        "attempts, max_attempts, token, cancel_requested, done, total, pinned, idempotency_key) "
        "VALUES (:id, 'anna', '{}', :kind, 'COMPLETED', '', 0, 1, 1, 1, 3, 1, false, 0, 0, false, "
        ":key)"
    )
    with empty_database.write() as connection:
        for name, kind, key in JOBS:
            connection.execute(text(job), {"id": name, "kind": kind, "key": key})
    empty_database.migrate()
    assert _keys(empty_database) == ["label 7", "newsreel:label 7b", None]
    _to(empty_database, "0017", command.downgrade)
    assert _keys(empty_database) == [key for _, _, key in JOBS]


def _keys(database):
    with database.read() as connection:
        rows = connection.execute(text("SELECT idempotency_key FROM jobs ORDER BY id"))
        return [row.idempotency_key for row in rows]
