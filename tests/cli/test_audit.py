"""python -m src.audit: verify, export, checkpoint, key, erase, as typed."""

import json

import pytest
from sqlalchemy import text

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.cli.api_keys import api_keys_app
from src.cli.audit import audit_app
from src.database.database import Database
from src.journal.entries import digest
from tests.command_kit import run_here
from tests.trust.kit import need_packages

APPS = {"audit": audit_app, "api_keys": api_keys_app}


def run_door(door, *arguments):
    return run_here(APPS[door](), *arguments)


@pytest.fixture
def log(home):
    """The home's database, with the entries of three keys."""
    made = Database(f"sqlite:///{home / 'newsreel.db'}")
    made.migrate()
    for name in ("one", "two", "three"):
        Accounts(made).create(name, Role.SUBMIT)
    return made


def test_verify_and_export(log, home):
    whole = run_door("audit", "verify")
    assert whole.returncode == 0 and "whole: 3 entries" in whole.stdout
    out = home / "log.jsonl"
    assert run_door("audit", "export", "--out", str(out)).returncode == 0
    lines = out.read_text("utf-8").splitlines()
    assert len(lines) == 3
    for line in lines:
        told = json.loads(line)
        raw = line.removeprefix('{"entry":')[: -len(f',"hash":"{told["hash"]}"}}')]
        assert digest(raw) == told["hash"], "whoever has the export can check it alone"
    later = run_door("audit", "export", "--after", "2")
    assert [json.loads(line)["entry"]["number"] for line in later.stdout.splitlines()] == [3]


@pytest.fixture
def nowhere(home, monkeypatch):
    """The home of a service that never was."""
    empty = home / "elsewhere"
    monkeypatch.setenv("NEWSREEL_HOME", str(empty))
    monkeypatch.delenv("NEWSREEL_DATABASE", raising=False)
    return empty


VERBS = [("verify",), ("verify", "--may-be-empty"), ("export",), ("erase", "k"),
         ("checkpoint", "--key", "k", "--out", "o")]  # fmt: skip


@pytest.mark.parametrize("asked", VERBS)
def test_a_wrong_home_is_an_error_and_stays_as_it_is(nowhere, asked):
    found = run_door("audit", *asked)
    assert found.returncode == 2 and "there is no database" in found.stderr
    assert not nowhere.exists()


def test_a_database_of_others_or_of_another_version_is_left_alone(nowhere):
    nowhere.mkdir(parents=True)
    file = nowhere / "newsreel.db"
    for text_of, words in ((b"no database", "cannot be read"), (b"", "no database of this")):
        file.write_bytes(text_of)
        found = run_door("audit", "verify")
        assert found.returncode == 2 and words in found.stderr and found.stdout == ""
        assert file.read_bytes() == text_of and [file] == list(nowhere.iterdir())
    file.unlink()
    made = Database(f"sqlite:///{file}")
    made.migrate()
    for version, words in (("0012", "an older version"), ("9999", "a newer version")):
        with made.write() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
        assert words in run_door("audit", "verify").stderr
        with made.read() as connection:
            now = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        assert now == version
    made.engine.dispose()


def test_a_dropped_log_is_named(log):
    with log.write() as connection:
        connection.execute(text("DROP TABLE audit"))
    for asked in VERBS:
        found = run_door("audit", *asked)
        assert found.returncode == 2 and "has lost its table audit" in found.stderr


def test_an_empty_log_is_said(nowhere):
    Database(f"sqlite:///{nowhere / 'newsreel.db'}").migrate()
    found = run_door("audit", "verify")
    assert found.returncode == 2 and "the log is empty" in found.stdout
    told = run_door("audit", "verify", "--may-be-empty")
    assert (told.returncode, told.stdout.strip()) == (0, "the log is empty")


def test_a_log_that_is_empty_or_not_whole_is_not_signed(log, nowhere, home, monkeypatch):
    need_packages()
    key, kept = home / "a.pem", home / "kept"
    assert run_door("audit", "key", str(key)).returncode == 0
    sign = ("audit", "checkpoint", "--key", str(key), "--out", str(kept))
    Database(f"sqlite:///{nowhere / 'newsreel.db'}").migrate()
    empty = run_door(*sign)
    assert empty.returncode == 2 and "the log is empty" in empty.stderr
    monkeypatch.setenv("NEWSREEL_HOME", str(home))
    made = json.loads(run_door(*sign, "--json").stdout)
    with log.write() as connection:
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("UPDATE audit SET entry = x'ff00' WHERE number = 2"))
    refused = run_door(*sign)
    assert refused.returncode == 2 and "entry 2 was changed" in refused.stderr
    assert len(list(kept.iterdir())) == 1, "the one of before"
    monkeypatch.setenv("NEWSREEL_HOME", str(nowhere))
    asked = ("--may-be-empty", "--checkpoint", made["file"], "--public-key", f"{key}.pub")
    late = run_door("audit", "verify", *asked)
    assert late.returncode == 2 and "the log is empty" in late.stdout


def test_an_export_is_written_as_it_is_read(log, home, monkeypatch):
    """Never more than a part of it is in memory, and what fails leaves no file."""
    from src.core import durable
    from src.journal import checking

    monkeypatch.setattr(checking, "AT_ONCE", 1)
    out, reads, wrote = home / "log.jsonl", [], []
    real = checking._some
    monkeypatch.setattr(checking, "_some", lambda c, a: reads.append(len(wrote)) or real(c, a))
    kept = durable.write_pieces
    monkeypatch.setattr(durable, "write_pieces", lambda path, pieces: kept(
        path, (wrote.append(1) or each for each in pieces)))  # fmt: skip
    assert run_door("audit", "export", "--out", str(out)).returncode == 0
    assert reads == [0, 1, 2, 3] and len(out.read_text().splitlines()) == 3
    before = out.read_text()
    monkeypatch.setattr(checking, "_some", lambda c, a: real(c, a) if not a else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_door("audit", "export", "--out", str(out))
    assert out.read_text() == before and not list(home.glob("*.partial"))
    assert not list(home.glob(".*.partial"))


def test_what_was_changed_exits_2(log):
    with log.write() as connection:
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("UPDATE audit SET hash = 'x' || substr(hash, 2) WHERE number = 2"))
    found = run_door("audit", "verify", "--json")
    assert found.returncode == 2
    assert any("entry 2" in each for each in json.loads(found.stdout)["problems"])


def test_a_checkpoint_finds_a_cut_tail(log, home):
    need_packages()
    key, kept = home / "keys" / "audit.pem", home / "elsewhere"
    assert run_door("audit", "key", str(key)).returncode == 0
    assert key.stat().st_mode & 0o077 == 0
    assert "already" in run_door("audit", "key", str(key)).stderr
    made = run_door("audit", "checkpoint", "--key", str(key), "--out", str(kept), "--json")
    path = json.loads(made.stdout)["file"]
    asked = ("audit", "verify", "--checkpoint", path, "--public-key", f"{key}.pub")
    assert run_door(*asked).returncode == 0
    with log.write() as connection:
        connection.execute(text("DROP TRIGGER audit_no_delete"))
        connection.execute(text("DELETE FROM audit WHERE number = 3"))
    assert run_door("audit", "verify").returncode == 0, "alone it cannot be seen"
    found = run_door(*asked)
    assert found.returncode == 2 and "the end is cut off" in found.stdout


def test_a_checkpoint_that_was_changed_or_is_anothers_is_refused(log, home):
    need_packages()
    keys = [home / "a.pem", home / "b.pem"]
    for key in keys:
        run_door("audit", "key", str(key))
    made = run_door("audit", "checkpoint", "--key", str(keys[0]), "--out", str(home), "--json")
    told = json.loads(made.stdout)
    asked = ("audit", "verify", "--checkpoint", told["file"], "--public-key")
    assert "another key" in run_door(*asked, f"{keys[1]}.pub").stderr
    changed = home / "changed.json"
    changed.write_text(json.dumps(told | {"size": 2}), "utf-8")
    found = run_door("audit", "verify", "--checkpoint", str(changed), "--public-key",
                     f"{keys[0]}.pub")  # fmt: skip
    assert found.returncode == 2 and "was changed" in found.stderr
    assert "needs --public-key" in run_door(*asked[:-1]).stderr
    assert "holds no PEM key" in run_door(*asked, told["file"]).stderr


def test_names_are_erased_of_revoked_keys(log):
    account = Accounts(log).all()[0]
    assert "revoke it first" in run_door("audit", "erase", account.id).stderr
    Accounts(log).revoke(account.id)
    assert run_door("audit", "erase", account.id).returncode == 0
    assert Accounts(log).all()[0].name == "erased"
    assert run_door("audit", "verify").returncode == 0


def test_persons_and_rights_by_the_command(log):
    refused = run_door("api_keys", "create", "chief", "--right", "approve")
    assert refused.returncode == 2 and "belongs to a person" in refused.stderr
    made = run_door("api_keys", "create", "chief", "--role", "read", "--right", "approve",
                    "--person", "Anna Berg", "--json")  # fmt: skip
    told = json.loads(made.stdout)
    assert told["rights"] == ["approve", "read"]
    assert "Anna Berg" in run_door("api_keys", "list").stdout
    assert "must be one of" in run_door("api_keys", "grant", told["id"], "rule").stderr
    done = run_door("api_keys", "grant", told["id"], "read", "release")
    assert done.returncode == 0
    account = next(each for each in Accounts(log).all() if each.id == told["id"])
    assert (sorted(account.rights), account.person) == (["read", "release"], "Anna Berg")
    both = run_door("api_keys", "grant", told["id"], "read", "--person", "B", "--no-person")
    assert both.returncode == 2 and "--no-person alone" in both.stderr
    assert run_door("api_keys", "grant", told["id"], "read", "--person", "").returncode == 2
    mine = run_door("api_keys", "grant", told["id"], "read", "--no-person", "--json")
    assert json.loads(mine.stdout)["person"] == ""
    assert {each.id: each.person for each in Accounts(log).all()}[told["id"]] == ""
