"""A home and a database of migration 0004, before artifacts were rows, opened by this version."""

import json

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from src.api.app import create_app
from src.api.settings import ServiceSettings
from src.artifacts.index import ArtifactIndex
from src.database.database import MIGRATIONS
from src.jobs.store import JobStore

PHOTOGRAPH, UPLOAD = f"{'d' * 64}.png", f"{'c' * 64}.video"
MADE, LARGE, BAD, WAITS = (f"19a1b2c3d4e{letter * 10}" for letter in "0123")
CLIP, LARGER = f"press-{MADE}-1.mp4", f"enlarged-{LARGE}-2.mp4"
BY_HAND = {"photograph": PHOTOGRAPH, "plan": {"weights": {"a": "b" * 64}}}
FILES = {
    f"photographs/{PHOTOGRAPH}": "photograph", f"uploads/{UPLOAD}": "video",
    f"examples/{CLIP}": "the clip", f"examples/{CLIP}".replace(".mp4", ".json"): "{}",
    f"examples/{LARGER}": "the larger clip", "examples/by-hand-7.mp4": "by hand",
    "examples/by-hand-7.json": json.dumps(BY_HAND), f"previews/{MADE}.jpg": "picture",
}  # fmt: skip


def _job(
    name, kind, state, request, artifact=None, token=1, pinned=False, parent=None, source=None
):
    return {
        "id": name, "kind": kind, "owner": "open", "state": state, "request": json.dumps(request),
        "group": "", "priority": 0, "rank": 1.79e9, "created_at": 1.79e9,
        "finished_at": 1.79e9 + 9 if artifact else None, "attempts": token, "max_attempts": 3,
        "token": token, "cancel_requested": False, "done": 0, "total": 0, "artifact": artifact,
        "pinned": pinned, "parent": parent, "source": source,
    }  # fmt: skip


JOBS = [
    _job(MADE, "generate", "COMPLETED", {"input_image": f"sha256:{PHOTOGRAPH}", "prompt": "press"},
         CLIP, pinned=True, source=PHOTOGRAPH),
    _job(LARGE, "upscale", "COMPLETED", {"input": f"artifact:{CLIP}", "of": MADE}, LARGER, 2,
         parent=MADE, source=CLIP),
    _job(BAD, "generate", "FAILED", {"input_image": f"sha256:{PHOTOGRAPH}"}, source=PHOTOGRAPH),
    _job(WAITS, "upscale", "PENDING", {"input": f"sha256:{UPLOAD}"}, token=0, source=UPLOAD),
]  # fmt: skip


@pytest.fixture
def older(empty_database, home):
    """The database at 0004, with its home."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    names = ", ".join(f'"{name}"' for name in JOBS[0])
    values = ", ".join(f":{name}" for name in JOBS[0])
    with empty_database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({values})"), JOBS)
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return empty_database


def test_an_older_home_shows_all_its_clips(older, home):
    settings = ServiceSettings(
        database=older.engine.url.render_as_string(hide_password=False), auth="off", workers=0,
        min_free=0, hosts="testserver", keep_days=0,
    )  # fmt: skip
    with TestClient(create_app(settings)) as client:
        shown = {job["id"]: job for job in client.get("/jobs").json()["jobs"]}
        assert set(shown) == {MADE, LARGE, BAD, WAITS}
        for job, content in ((MADE, "the clip"), (LARGE, "the larger clip")):
            assert client.get(shown[job]["artifact_url"]).text == content
        assert client.get(shown[MADE]["manifest_url"]).text == "{}"
        assert client.get("/artifacts/by-hand-7.mp4").text == "by hand"
        assert client.get(f"/jobs/{MADE}/preview").text == "picture"
    assert {str(path.relative_to(home)) for path in home.glob("*s/*")} == set(FILES)


def test_the_rows_say_what_the_files_and_jobs_said(older):
    older.migrate()
    index = ArtifactIndex(older)
    assert {key: row.bytes for key, row in index.known().items()} == dict.fromkeys(
        [f"photographs/{PHOTOGRAPH}", f"uploads/{UPLOAD}", f"examples/{CLIP}", f"examples/{LARGER}"]
    )
    _tidy(older)
    kept = [name for name in FILES if not name.startswith("previews/")]
    assert {key: row.bytes for key, row in index.known().items()} == {
        name: len(FILES[name]) for name in kept
    }
    clip = index.find(f"examples/{CLIP}")[0]
    assert (clip.job, clip.parent, clip.pinned, clip.created) == (
        MADE,
        f"photographs/{PHOTOGRAPH}",
        True,
        1.79e9 + 9,
    )
    assert [row.key for row in index.made_of(f"examples/{CLIP}")] == [f"examples/{LARGER}"]
    assert index.find(f"examples/{CLIP}".replace(".mp4", ".json"))[0].job == MADE
    assert index.find(f"photographs/{PHOTOGRAPH}")[0].sha256 == "d" * 64


def test_a_photograph_that_only_a_command_names_stays_when_its_jobs_go(older, home):
    older.migrate()
    keeper = _tidy(older)
    for job in (LARGE, MADE, BAD):
        keeper.forgetter.forget(job)
    assert (home / "photographs" / PHOTOGRAPH).is_file()
    for name in ("by-hand-7.mp4", "by-hand-7.json"):
        (home / "examples" / name).unlink()
    _tidy(older)
    keeper.forgetter.drop(f"photographs/{PHOTOGRAPH}")
    assert not (home / "photographs" / PHOTOGRAPH).exists()
    assert set(ArtifactIndex(older).known()) == {f"uploads/{UPLOAD}"}


def _tidy(database):
    from src.api.housekeeper import Housekeeper
    from src.jobs.leases import LeaseStore

    made = Housekeeper(
        ServiceSettings(database=database.url, keep_days=0),
        JobStore(database),
        LeaseStore(database),
    )
    made.tidy()
    return made
