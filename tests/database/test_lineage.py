"""Jobs of a database from before lineage (0017, of drafts 0020) get theirs from the jobs that they
came of.
"""

import json

from alembic import command
from sqlalchemy import text

from src.jobs.store import JobStore
from src.releases.store import ReleaseStore
from tests.database.test_rights import _to

JOBS = [
    ("1", None, "anna", {"label": True, "draft": True}), ("2", "1", "otto", {}),
    ("3", "2", "eve", {"extend": True}), ("4", "gone", "eve", {"labelled_copy": True}),
]  # fmt: skip


def test_older_jobs_and_releases_know_their_makers(empty_database):
    _to(empty_database, "0016")
    job = (
        'INSERT INTO jobs (id, parent, owner, request, kind, state, "group", priority, rank, '
        "created_at, attempts, max_attempts, token, cancel_requested, done, total, pinned) VALUES "
        "(:id, :parent, :owner, :request, 'upscale', 'COMPLETED', '', 0, 1, 1, 1, 3, 1, false, 0, "
        "0, false)"
    )
    release = (
        "INSERT INTO releases (id, job, owner, title, key, state, revision, note, reason, "
        "created_at, labelled) VALUES ('r', '3', 'eve', 't', 'k', 'submitted', 1, '', '', 1, false)"
    )
    with empty_database.write() as connection:
        for name, parent, owner, request in JOBS:
            values = {"id": name, "parent": parent, "owner": owner, "request": json.dumps(request)}
            connection.execute(text(job), values)
        connection.execute(text(release))
    empty_database.migrate()
    store = JobStore(empty_database)
    found = {name: (store.get(name).makers, store.get(name).labelled) for name in "1234"}
    assert found == {
        "1": ([], True), "2": (["anna"], True), "3": (["anna", "otto"], False), "4": ([], True),
    }  # fmt: skip
    assert [name for name in "1234" if store.get(name).draft] == ["1", "2", "3"]
    assert ReleaseStore(empty_database).get("r").involved == {"anna", "otto", "eve"}
    _to(empty_database, "0016", command.downgrade)
    empty_database.migrate()
    assert store.get("3").makers == ["anna", "otto"]
