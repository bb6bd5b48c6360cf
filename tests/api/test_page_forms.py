"""What the page answers where something is wrong: a page, with what was typed, and never JSON."""

from urllib.parse import quote

import pytest

from src.jobs.model import NewJob


def _submit(client, jpeg, headers=None, **fields):
    data = {"csrf": "open", "prompt": "Pan left"} | fields
    return client.post("/submit", data=data, files={"image": ("p.jpg", jpeg, "image/jpeg")}, headers=headers or {})


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"prompt": "x" * 5000}, "4000"), ({"seed": "abc"}, "seed"), ({"priority": "now"}, "priority"),
     ({"prompt": "", "template": "nope"}, "unknown template"), ({"prompt": "a\x00b"}, "null byte")],
)  # fmt: skip
def test_a_wrong_form_keeps_what_was_typed(client, jpeg, fields, words):
    answer = _submit(client, jpeg, **fields)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert fields.get("prompt", "Pan left") in answer.text
    assert client.get("/jobs").json()["jobs"] == []


def test_a_template_is_filled_on_the_page(make_client, jpeg):
    client = make_client(work=False, auth="off")
    chosen = {"prompt": "", "template": "archive"}
    assert "subject, year" in client.get("/").text
    assert _submit(client, jpeg, **chosen, slots="year = 1969\nsubject=a = b, c\n").status_code == 303
    assert client.get("/jobs").json()["jobs"][0]["request"]["set"] == {"year": "1969", "subject": "a = b, c"}
    for slots, words in (("1969", "SLOT=VALUE"), ("town=Lyon", "slots: subject, year")):
        answer = _submit(client, jpeg, **chosen, slots=slots)
        assert (answer.status_code, words in answer.text, slots in answer.text) == (422, True, True)


@pytest.mark.parametrize("path", ["/clips/x", "/clips/" + "0" * 21, "/?state=nope", "/clips/%00"])
def test_what_is_not_there_is_a_page_too(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"].startswith("text/html")
    assert 'role="alert"' in answer.text


def test_a_button_that_comes_too_late_says_so(make_client):
    client = make_client(work=False, auth="off")
    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    client.post(f"/jobs/{job.id}/cancel")
    answer = client.post(f"/clips/{job.id}/upscale", data={"csrf": "open"})
    assert answer.status_code == 422
    assert "only finished clips are enlarged" in answer.text
    late = client.post(f"/clips/{job.id}/cancel", data={"csrf": "open"})
    assert (late.status_code, "CANCELLED already" in late.text) == (409, True)
    assert client.post(f"/clips/{job.id}/explode", data={"csrf": "open"}).status_code == 404


def test_an_open_service_heeds_no_other_site(client, jpeg):
    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    head = {"Sec-Fetch-Site": "cross-site", "Prefer": "respond-async"}
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    assert client.post("/generate-video", data={"prompt": "p"}, files=files, headers=head).status_code == 403
    assert client.delete(f"/jobs/{job.id}", headers=head).status_code == 403
    assert _submit(client, jpeg, head).status_code == 403
    assert client.post("/login", data={"key": "nr_x"}, headers=head).status_code == 403
    assert _submit(client, jpeg, {"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert client.get("/jobs", headers=head).status_code == 200


def test_who_is_not_logged_in_is_sent_to_the_login(make_client, jpeg):
    client = make_client(work=False)
    client.cookies.set("newsreel_session", "expired")
    clip = "/clips/" + "0" * 21
    answers = client.get("/"), _submit(client, jpeg), client.get(clip)
    wanted = "/login", "/login", f"/login?next={quote(clip, safe='')}"
    for answer, location in zip(answers, wanted, strict=True):
        assert (answer.status_code, answer.headers["location"]) == (303, location)
