"""check, backup, restore, move: as an operator calls them."""

import json

import pytest
from typer.testing import CliRunner

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.cli.service_data import service_data_app
from src.core.errors import BadInputError
from src.database import house
from src.database.database import Database


@pytest.fixture
def call():
    """Run the command; returns exit code and what it said."""

    def run(*arguments):
        done = CliRunner().invoke(service_data_app(), list(arguments))
        return done.exit_code, done.output

    return run


@pytest.fixture
def service(home):
    """A home with the usual database and a key in it."""
    home.mkdir()
    database = Database(f"sqlite:///{home / 'newsreel.db'}")
    database.migrate()
    Accounts(database).create("desk", Role.SUBMIT)
    yield database
    database.engine.dispose()


def test_check_tells_and_settles(call, service, home, tmp_path, monkeypatch):
    code, said = call("check")
    assert (code, "belong together" in said, "0 file(s)" in said) == (0, True, True)
    monkeypatch.setenv("NEWSREEL_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    code, said = call("check")
    assert code == 2
    code, said = call("check", "--adopt", "--json")
    assert (code, json.loads(said)["quarantine"]) == (0, [])
    assert call("check")[0] == 0


def test_backup_and_restore(call, service, home, tmp_path):
    folder = tmp_path / "backup"
    assert call("backup", str(folder))[0] == 0
    assert call("backup", str(folder))[0] == 2
    service.engine.dispose()
    assert call("restore", str(folder))[0] == 2  # there is a database already
    assert call("restore", str(tmp_path), "--replace")[0] == 2  # and here is no backup
    assert (home / "newsreel.db").is_file()
    code, said = call("restore", str(folder), "--replace")
    assert code == 0
    assert "newsreel.db.replaced-1" in said
    assert call("check")[0] == 0
    restored = Database(service.url)
    assert [account.name for account in Accounts(restored).all()] == ["desk"]
    restored.engine.dispose()


def test_nothing_is_moved_while_a_service_or_a_worker_runs(call, service, home, tmp_path):
    target = f"sqlite:///{tmp_path / 'target.db'}"
    with house.occupy(home), house.occupy(home):
        for command in (("move", target), ("restore", str(tmp_path), "--replace")):
            assert call(*command)[0] == 2
    assert (home / "newsreel.db").is_file()
    with house.alone(home), pytest.raises(BadInputError, match="is being replaced"):
        house.occupy(home)
    code, said = call("move", target)
    assert code == 0
    assert "0 job(s) moved" in said
    assert call("check")[0] == 2  # the old database is another's by now
