"""Desks: keys of one desk see each other's jobs, and change their own alone."""

import pytest

from src.accounts.rights import Role
from src.api import people
from src.jobs.model import NewJob


@pytest.fixture
def desk(make_client, monkeypatch):
    """A service, its keys' ids and headers, and a job of each key."""
    monkeypatch.setattr(people, "SAME_S", 0.0)
    client = make_client(work=False)
    service, ids, heads, jobs = client.app.state.service, {}, {}, {}
    for name, role, at in [("anna", Role.SUBMIT, "sports"), ("jean", Role.SUBMIT, "sports"),
                           ("looks", Role.READ, "sports"), ("else", Role.SUBMIT, "markets"),
                           ("alone", Role.SUBMIT, "")]:  # fmt: skip
        secret, account = service.accounts.create(name, role, desk=at)
        ids[name], heads[name] = account.id, {"Authorization": f"Bearer {secret}"}
        jobs[name] = service.store.submit(NewJob("generate", account.id, {"prompt": name}))[0].id
    return client, ids, heads, jobs


def _seen(client, head):
    return {job["owner"] for job in client.get("/jobs", headers=head).json()["jobs"]}


def test_a_desk_sees_its_own(desk):
    client, _, heads, jobs = desk
    together = {"anna", "jean", "looks"}
    wanted = {
        "anna": together,
        "jean": together,
        "looks": together,
        "else": {"else"},
        "alone": {"alone"},
    }
    assert {name: _seen(client, head) for name, head in heads.items()} == wanted
    assert client.get(f"/jobs/{jobs['jean']}", headers=heads["looks"]).status_code == 200
    assert client.get(f"/jobs/{jobs['anna']}", headers=heads["else"]).status_code == 404


@pytest.mark.parametrize(
    ("method", "action"),
    [("POST", "/cancel"), ("POST", "/retry"), ("POST", "/full"), ("PUT", "/pin"),
     ("DELETE", "/pin"), ("DELETE", "")],
)  # fmt: skip
def test_seeing_is_not_changing(desk, method, action):
    client, _, heads, jobs = desk
    answer = client.request(method, f"/jobs/{jobs['anna']}{action}", headers=heads["jean"])
    assert (answer.status_code, "belongs to anna" in answer.text) == (403, True)
    hidden = client.request(method, f"/jobs/{jobs['anna']}{action}", headers=heads["else"])
    assert hidden.status_code == 404
    job = client.get(f"/jobs/{jobs['anna']}", headers=heads["anna"]).json()
    assert (job["state"], job["pinned"]) == ("PENDING", False)


def test_a_key_moves_to_another_desk(desk):
    client, ids, heads, _ = desk
    client.app.state.service.accounts.assign(ids["alone"], "markets")
    assert _seen(client, heads["else"]) == {"else", "alone"}
    client.app.state.service.accounts.assign(ids["alone"], "")
    assert _seen(client, heads["else"]) == {"else"}


def test_a_revoked_key_leaves_its_clips_to_the_desk(desk):
    client, ids, heads, _ = desk
    client.app.state.service.accounts.revoke(ids["jean"])
    assert "jean" in _seen(client, heads["anna"])
