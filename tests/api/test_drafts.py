"""The full clip of a draft: by the API and by the clip's page, once."""

import time

import pytest

from src.jobs.model import OWN_KEYS


def _post(client, jpeg, **fields):
    form = {"prompt": "pan left", "model": "nano", "draft": "true"} | fields
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    answer = client.post(
        "/generate-video", data=form, files=files, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def _finished(client, job):
    end = time.monotonic() + 30
    while client.get(f"/jobs/{job}").json()["state"] != "COMPLETED":
        assert time.monotonic() < end
        time.sleep(0.02)
    return job


def _stored(client, job):
    return client.app.state.service.store.get(job)


def test_the_full_clip_is_the_same_request_at_the_drafts_seed(client, jpeg):
    draft = _finished(client, _post(client, jpeg, seed="7", fps="12"))
    answer = client.post(f"/jobs/{draft}/full")
    assert answer.status_code == 200, answer.text
    asked, full = _stored(client, draft).request, _stored(client, answer.json()["id"]).request
    assert full == {name: value for name, value in asked.items() if name != "draft"}
    assert full["seed"] == 7
    assert client.post(f"/jobs/{draft}/full").json()["id"] == answer.json()["id"]


def test_a_drawn_seed_is_kept(client, jpeg):
    draft = _finished(client, _post(client, jpeg))
    full = client.post(f"/jobs/{draft}/full").json()["id"]
    assert "seed" not in _stored(client, draft).request
    assert _stored(client, full).request["seed"] == _stored(client, draft).result["seed"]
    assert _stored(client, full).cost > _stored(client, draft).cost


def test_the_page_of_a_draft_makes_and_then_shows_it(client, jpeg):
    draft = _finished(client, _post(client, jpeg))
    assert f"/clips/{draft}/full" in client.get(f"/clips/{draft}").text
    pressed = client.post(f"/clips/{draft}/full", data={"csrf": "open"}, follow_redirects=False)
    full = client.app.state.service.store.with_key("open", f"{OWN_KEYS}full {draft}")
    assert pressed.headers["location"] == f"/clips/{full.id}"
    page = client.get(f"/clips/{draft}").text
    assert f"/clips/{full.id}" in page and f"/clips/{draft}/full" not in page


@pytest.mark.parametrize("fields", [{"draft": ""}, {"draft": "false"}])
def test_what_is_no_draft_has_no_full_clip(client, jpeg, fields):
    job = _finished(client, _post(client, jpeg, **fields))
    answer = client.post(f"/jobs/{job}/full")
    assert (answer.status_code, "is no draft" in answer.text) == (409, True)
    assert f"/clips/{job}/full" not in client.get(f"/clips/{job}").text


def test_a_draft_whose_photograph_is_gone(client, jpeg, home):
    draft = _finished(client, _post(client, jpeg))
    next((home / "photographs").iterdir()).unlink()
    assert client.post(f"/jobs/{draft}/full").status_code == 409


def test_a_draft_that_is_not_finished(make_client, jpeg):
    waiting = make_client(work=False, auth="off")
    assert waiting.post(f"/jobs/{_post(waiting, jpeg)}/full").status_code == 409


def test_the_form_asks_for_a_quick_look(client, jpeg):
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    form = {"prompt": "pan left", "draft": "true", "csrf": "open"}
    client.post("/submit", data=form, files=files, follow_redirects=False)
    draft = client.get("/jobs").json()["jobs"][0]
    assert draft["request"]["draft"] is True
    page = client.get(f"/clips/{_finished(client, draft['id'])}").text
    assert "A quick look, small" in page
    assert 'value="true" selected' in client.get(f"/?again={draft['id']}").text
