"""A home and its database: who belongs to whom, backups, restores, the move to PostgreSQL."""

import json
import sqlite3

import pytest
from sqlalchemy import select

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.api.app import create_app
from src.api.housekeeper import Housekeeper
from src.api.settings import ServiceSettings
from src.artifacts.index import ArtifactIndex
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import examples
from src.database import copying, house
from src.database.backup import NAME, back_up, move, restore, set_aside
from src.database.database import Database
from src.database.migrations.versions import __name__ as versions
from src.database.tables import jobs
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.database.postgres_kit import postgres_server
from tests.database.race_kit import meanwhile


def _open(path):
    made = Database(f"sqlite:///{path}")
    made.migrate()
    return made


def _clip(database, text="clip", **request):
    """A finished job with its clip."""
    store, leases = JobStore(database), LeaseStore(database)
    leases.hold_device("d", "w", "p", {})
    job, _ = store.submit(NewJob("generate", "a", {"prompt": "p"} | request))
    claimed = leases.claim("w", "d")
    name = f"p-{job.id}-{claimed.token}.mp4"
    examples().mkdir(parents=True, exist_ok=True)
    (examples() / name).write_text(text)
    (examples() / name).with_suffix(".json").write_text("{}")
    leases.complete(claimed, name, {})
    return job.id


def _tidy(database):
    Housekeeper(
        ServiceSettings(database=database.url), JobStore(database), LeaseStore(database)
    ).tidy()


def _clips():
    return {path.name for path in examples().glob("*.mp4")}


def test_a_home_belongs_to_one_database(tmp_path, home, database):
    shared = house.bind(database, home)
    assert (home / "database.id").read_text().strip() == shared
    assert house.bind(database, home) == shared
    other = _open(tmp_path / "other.db")
    for wrong, place in ((other, home), (database, tmp_path / "elsewhere")):
        with pytest.raises(
            BadInputError, match=r"settle it with: python -m src.service_data check --adopt"
        ):
            house.bind(wrong, place)
    adopted = house.bind(other, home, adopt=True)
    assert adopted != shared
    with pytest.raises(BadInputError, match="belongs to"):
        house.bind(database, home)


def test_a_database_in_its_home_finds_a_lost_note_again(home):
    home.mkdir()
    database = _open(home / "newsreel.db")
    shared = house.bind(database, home)
    (home / "database.id").unlink()
    assert house.bind(database, home) == shared


def test_a_service_on_another_database_is_refused_and_removes_nothing(tmp_path, home, database):
    job = _clip(database)
    JobStore(database).pin(job, True)
    house.bind(database, home)
    clips = _clips()
    with pytest.raises(BadInputError, match="belongs to"):
        create_app(ServiceSettings(database=f"sqlite:///{tmp_path / 'other.db'}", workers=0))
    assert _clips() == clips
    other = _open(tmp_path / "other.db")
    house.bind(other, home, adopt=True)
    _tidy(other)
    aside = {path.name for path in (home / "quarantine").iterdir()}
    assert {name for name in aside if name.endswith(".mp4")} == clips
    assert all((home / "quarantine" / name).read_text() == "clip" for name in clips)
    _tidy(other)
    assert {path.name for path in (home / "quarantine").iterdir()} == aside


def test_a_backup_while_the_service_runs_and_its_restore(tmp_path, home, database):
    Accounts(database).create("desk", Role.SUBMIT)
    kept = _clip(database)
    house.bind(database, home)
    (home / "photographs").mkdir()
    (home / "photographs" / "abc.png").write_text("photograph")
    (examples() / ".half.123.partial").write_text("half")
    assert back_up(database, home, tmp_path / "backup") == (1, 4)
    with pytest.raises(BadInputError, match="not empty"):
        back_up(database, home, tmp_path / "backup")
    later = _clip(database, "made after the backup")
    made_later = JobStore(database).get(later).artifact
    (home / "photographs" / "abc.png").unlink()
    (examples() / JobStore(database).get(kept).artifact).unlink()
    database.engine.dispose()
    aside = set_aside(database.url)
    assert aside.is_file()
    assert aside.name == "jobs.db.replaced-1"
    restored = _open(tmp_path / "jobs.db")
    assert restore(tmp_path / "backup", restored, home) == (1, 2)
    _tidy(restored)
    store = JobStore(restored)
    assert [job.id for job in store.page()] == [kept]
    assert (examples() / store.get(kept).artifact).read_text() == "clip"
    assert (home / "quarantine" / made_later).read_text() == "made after the backup"
    assert Accounts(restored).all()[0].name == "desk"
    with pytest.raises(BadInputError, match="holds jobs or keys"):
        restore(tmp_path / "backup", restored, home)
    with pytest.raises(MissingFileError, match="holds no newsreel.db"):
        restore(tmp_path, restored, home)


def test_new_attempts_do_not_take_the_names_of_clips_from_before_a_restore(
    tmp_path, home, database
):
    store, leases = JobStore(database), LeaseStore(database)
    job, _ = store.submit(NewJob("generate", "a", {"prompt": "p"}))
    house.bind(database, home)
    back_up(database, home, tmp_path / "backup")
    leases.hold_device("d", "w", "p", {})
    leases.complete(leases.claim("w", "d"), f"p-{job.id}-1.mp4", {})
    examples().mkdir(parents=True)
    (examples() / f"p-{job.id}-1.mp4").write_text("seen by people")
    restored = _open(tmp_path / "restored.db")
    restore(tmp_path / "backup", restored, home)
    _tidy(restored)
    assert JobStore(restored).get(job.id).state is State.PENDING
    assert (home / "quarantine" / f"p-{job.id}-1.mp4").read_text() == "seen by people"
    assert _clips() == set()


def test_the_move_to_postgresql(tmp_path, home, database):
    job = _clip(database)
    Accounts(database).create("desk", Role.ADMIN)
    shared, events = house.bind(database, home), JobStore(database).events(job)
    with postgres_server() as server:
        target = Database(server.url)
        target.migrate()
        assert move(database, home, target) == 1
        assert house.bind(target, home) == shared
        with pytest.raises(BadInputError, match="belongs to"):
            house.bind(database, home)
        store = JobStore(target)
        assert store.get(job) == JobStore(database).get(job)
        assert store.events(job) == events
        _tidy(target)
        assert _clips() == {store.get(job).artifact}
        later = _clip(target)
        assert store.events(later)[0].id > events[-1].id
        back_up(target, home, tmp_path / "backup")
        target.engine.dispose()
    again = _open(tmp_path / "again.db")
    assert restore(tmp_path / "backup", again, home)[0] == 2


def test_a_database_of_the_first_version_is_migrated(tmp_path):
    from alembic import command
    from alembic.config import Config

    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", versions.removesuffix(".versions").replace(".", "/"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    raw = sqlite3.connect(tmp_path / "old.db")
    forms = {"j": {"input": "/home/examples/x.mp4", "of": "f" * 21},
             "k": {"input": f"/home/uploads/{'c' * 64}.video", "scale": 4, "quality": "fast",
                   "denoiseLevel": 0.3, "preserveDetails": True, "guideScale": None},
             "l": {"input_image": f"/home/photographs/{'d' * 64}.JPEG", "prompt": "x"},
             "m": {"input": f"sha256:{'e' * 64}.video"}}  # fmt: skip
    for name, form in forms.items():
        raw.execute(
            "INSERT INTO jobs VALUES (?, 'upscale', 'a', 'PENDING', ?, '', 0, 1.0, 1.0, NULL, "
            "NULL, 0, 3, 0, NULL,"
            " NULL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0)", (name, json.dumps(form)),
        )  # fmt: skip
    raw.execute("INSERT INTO keys VALUES ('k', 'desk', 'h', 'submit', 1.0, NULL, 60, 2000)")
    raw.commit()
    raw.close()
    database.migrate()
    with database.read() as connection:
        rows = connection.execute(
            select(jobs.c.parent, jobs.c.source, jobs.c.cost).order_by(jobs.c.id)
        ).all()
        requests = list(connection.execute(select(jobs.c.request).order_by(jobs.c.id)).scalars())
    assert tuple(rows[0]) == ("f" * 21, "x.mp4", 0.0)
    assert requests == [
        {"input": "artifact:x.mp4", "of": "f" * 21},
        {"input": f"sha256:{'c' * 64}.video", "scale": 4, "preset": "fast", "denoise": 0.3,
         "preserve_details": 1.0, "guidance_scale": None},
        {"input_image": f"sha256:{'d' * 64}.JPEG", "prompt": "x"},
        {"input": f"sha256:{'e' * 64}.video"},
    ]  # fmt: skip
    assert Accounts(database).all()[0].breaking
    database.engine.dispose()


def test_a_backup_is_one_state_of_a_database_that_is_in_use(tmp_path, home, postgres_database):
    """A clip that is made while tables are copied is in it with all its rows, or with none."""
    kept = _clip(postgres_database)
    with meanwhile(postgres_database, copying, "insert", lambda: _clip(postgres_database)):
        back_up(postgres_database, home, tmp_path / "backup")
    copy = _open(tmp_path / "backup" / NAME)
    assert [job.id for job in JobStore(copy).page()] == [kept]
    assert {row.job for row in ArtifactIndex(copy).known().values()} == {kept}
    assert {event.job_id for event in JobStore(copy).events(None)} == {kept}


def test_of_two_homes_that_are_new_at_once_one_gets_the_database(tmp_path, home, postgres_database):
    with (
        pytest.raises(BadInputError, match="belongs to files elsewhere"),
        meanwhile(postgres_database, house.secrets, "token_hex",
                  lambda: house.bind(postgres_database, tmp_path / "other")),
    ):  # fmt: skip
        house.bind(postgres_database, home)
    assert not (tmp_path / "other" / house.FILE).exists()


def test_a_first_start_that_ends_before_the_database_kept_the_id_begins_anew(home, database):
    class Ending(house.HomeNote):
        def write(self, shared):
            super().write(shared)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        house.bind(database, Ending(home))
    shared = house.bind(database, home)
    assert house.HomeNote(home).read() == shared == house.bind(database, home)


def test_two_who_begin_on_a_new_home_at_once_share_it(home, postgres_database):
    both = []

    def begin():
        both.append(house.bind(postgres_database, home))

    with meanwhile(postgres_database, house.secrets, "token_hex", begin):
        begin()
    assert len(set(both)) == 1 and len(both) == 2
