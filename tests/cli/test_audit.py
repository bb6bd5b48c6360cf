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
