"""Keys at desks, from the command line."""

import json

from typer.testing import CliRunner

from src.cli.api_keys import api_keys_app


def _run(*arguments):
    return CliRunner().invoke(api_keys_app(), list(arguments))


def test_a_key_is_put_at_a_desk_and_taken_away():
    made = json.loads(_run("create", "Anna", "--desk", "sports", "--json").stdout)
    assert "(desk sports)" in _run("list").stdout
    assert _run("desk", made["id"], "markets").exit_code == 0
    assert json.loads(_run("list", "--json").stdout)["keys"][0]["desk"] == "markets"
    _run("desk", made["id"], "")
    assert "(desk" not in _run("list").stdout


def test_what_is_no_desk_or_no_key_is_refused():
    made = json.loads(_run("create", "Anna", "--json").stdout)
    assert _run("desk", made["id"], "a\nb").exit_code != 0
    assert _run("desk", made["id"], " padded ").exit_code != 0
    assert _run("desk", "nobody", "sports").exit_code != 0
