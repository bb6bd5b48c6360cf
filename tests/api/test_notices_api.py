"""Whose rules are whose, and what the settings' file says."""

import pytest

from src.core.errors import BadInputError
from tests.api.conftest import log_in

HOOK = "https://93.184.215.14/hooks/token-of-the-hook"
RULES = """
rules:
  - {key: desk, events: [done], channel: webhook, target: "%s", secret: "%s"}
  - {events: [failed, stuck], channel: webhook, target: "%s/all", secret: "%s"}
"""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def _add(client, header, **more):
    wanted = {"events": ["done"], "channel": "webhook", "target": HOOK} | more
    return client.post("/notices", json=wanted, headers=header)


def test_a_key_has_its_own_rules_and_an_admin_sees_all(keys):
    client, headers = keys
    made = _add(client, headers["submit"])
    assert made.status_code == 201
    told = made.json()
    assert told["secret"].startswith("whsec_")
    assert told["target"] == "https://93.184.215.14/..."
    assert (told["everybody"], told["active"], told["latest"]) == (False, True, [])
    assert client.get("/notices", headers=headers["other"]).json() == {"rules": []}
    seen = client.get("/notices", headers=headers["admin"]).json()["rules"]
    assert [rule["id"] for rule in seen] == [told["id"]]
    assert "secret" not in seen[0]
    path = f"/notices/{told['id']}"
    assert client.delete(path, headers=headers["other"]).status_code == 404
    assert client.post(f"{path}/on", headers=headers["other"]).status_code == 404
    assert client.get("/notices", headers=headers["read"]).status_code == 403
    assert client.delete(path, headers=headers["submit"]).status_code == 204
    assert client.delete(path, headers=headers["submit"]).status_code == 404


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"everybody": True}, 403),
        ({"events": ["stuck"]}, 422),
        ({"events": ["undone"]}, 422),
        ({"events": []}, 422),
        ({"channel": "pigeon"}, 422),
        ({"channel": "email", "target": "a@example.org"}, 422),
        ({"target": "http://93.184.215.14/x"}, 422),
        ({"target": "https://127.0.0.1/x"}, 422),
        ({"target": "https://10.0.0.1/token-of-the-hook"}, 422),
        ({"channel": "slack", "target": "https://93.184.215.14/services/token-of-the-hook"}, 422),
        ({"secret": "mine"}, 422),
    ],
)
def test_what_a_rule_may_not_be_is_one_sentence_without_its_address(keys, more, status):
    client, headers = keys
    answer = _add(client, headers["submit"], **more)
    assert answer.status_code == status
    assert "token-of-the-hook" not in answer.json()["detail"]


def test_an_admin_hears_of_the_queue(keys):
    client, headers = keys
    made = _add(client, headers["admin"], events=["stuck", "failed"], everybody=True)
    assert (made.status_code, made.json()["events"]) == (201, ["failed", "stuck"])


def test_the_page_is_for_who_may_submit_and_wants_its_token(keys):
    client, headers = keys
    secret = headers["read"]["Authorization"].removeprefix("Bearer ")
    log_in(client, secret)
    assert client.get("/told").status_code == 403
    client.cookies.clear()
    log_in(client, headers["submit"]["Authorization"].removeprefix("Bearer "))
    page = client.get("/told")
    assert (page.status_code, "Tell somebody" in page.text) == (200, True)
    assert 'name="everybody"' not in page.text
    form = {"channel": "webhook", "target": HOOK, "event": "done"}
    refused = client.post("/told", data=form, headers={"Origin": "http://testserver"})
    assert refused.status_code == 403
    client.cookies.clear()
    assert client.get("/told").headers["location"] == "/login?next=%2Ftold"


def test_the_file_of_rules_is_what_there_is_of_it(make_client, tmp_path):
    path = tmp_path / "notices.yaml"
    path.write_text("rules: []")
    first = make_client(work=False, notices=str(path))
    desk = first.app.state.service.accounts.create("desk", "submit")[1]
    path.write_text(RULES % (HOOK, SECRET, HOOK, SECRET))
    first.app.state.service.notifying.sync()
    rules = first.app.state.service.notifying.rules.of(None)
    assert [(rule.owner, rule.events) for rule in rules] == [
        (desk.id, ("done",)),
        ("", ("failed", "stuck")),
    ]
    first.app.state.service.notifying.sync()
    assert first.app.state.service.notifying.rules.of(None) == rules
    path.write_text("rules: []")
    first.app.state.service.notifying.sync()
    assert first.app.state.service.notifying.rules.of(None) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"rules: [{{key: nobody, events: [done], channel: webhook, target: '{HOOK}', "
         f"secret: {SECRET}}}]", "rule 1: there is no key 'nobody'"),
        (f"rules: [{{events: [done], channel: webhook, target: '{HOOK}'}}]",
         "rule 1: a web hook's secret is whsec_"),
        (f"rules: [{{events: [done], channel: pigeon, target: '{HOOK}'}}]", "must be one of"),
        ("rules: [{events: [done]}]", "channel"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_rules_is_told_with_its_place(make_client, tmp_path, text, told):
    path = tmp_path / "notices.yaml"
    path.write_text("rules: []")
    notifying = make_client(work=False, notices=str(path)).app.state.service.notifying
    path.write_text(text)
    with pytest.raises(BadInputError) as caught:
        notifying.sync()
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "token-of-the-hook" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"smtp": "mail.example.org"}, "NEWSREEL_SMTP"),
        ({"smtp": "smtp://u:topsecret@mail.example.org"}, "NEWSREEL_SMTP_PASSWORD"),
        ({"notice_retry": "soon"}, "NEWSREEL_NOTICE_RETRY"),
    ],
)
def test_wrong_settings_end_the_start_with_a_sentence(make_client, values, told):
    with pytest.raises(BadInputError, match=told) as caught:
        make_client(work=False, **values)
    assert "topsecret" not in str(caught.value)
