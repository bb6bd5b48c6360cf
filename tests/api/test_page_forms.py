"""What the page answers where something is wrong: a page, with what was typed, and never JSON."""

import re
from urllib.parse import quote

import pytest

from src.jobs.model import NewJob
from src.journal.checking import entries, read_entry
from src.journal.entries import digest
from tests.contracts.fake_upscaler import register
from tests.engine.test_watching import jpeg as jpeg_file
from tests.media.test_press_metadata import xmp
from tests.waiting import wait_until


def _submit(client, jpeg, headers=None, **fields):
    data = {"csrf": "open", "prompt": "Pan left"} | fields
    return client.post(
        "/submit", data=data, files={"image": ("p.jpg", jpeg, "image/jpeg")}, headers=headers or {}
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"prompt": "x" * 5000}, "4000"), ({"seed": "abc"}, "seed"), ({"priority": "now"}, "priority"),
     ({"prompt": "", "template": "nope"}, "Unknown template"), ({"prompt": "a\x00b"}, "null byte")],
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
    assert 'name="slot.archive.year"' in client.get("/").text
    typed = {
        "slot.archive.year": "1969",
        "slot.archive.subject": "a = b, c",
        "slot.weather.sky": "grey",
    }
    assert _submit(client, jpeg, **chosen, **typed).status_code == 303
    assert client.get("/jobs").json()["jobs"][0]["request"]["set"] == {
        "year": "1969",
        "subject": "a = b, c",
    }
    answer = _submit(client, jpeg, **chosen, **{"slot.archive.town": "Lyon"})
    assert (answer.status_code, "slots: subject, year" in answer.text) == (422, True)


def test_prompt_and_template_both_given_is_a_choice(make_client, jpeg):
    client = make_client(work=False, auth="off")
    both = {"prompt": "Pan left", "template": "archive"}
    asked = _submit(client, jpeg, **both)
    assert asked.status_code == 422
    assert "which one shall the clip follow?" in asked.text
    assert "choice asked" in asked.text
    assert client.get("/jobs").json()["jobs"] == []
    assert _submit(client, jpeg, **both, wording="prompt").status_code == 303
    assert _submit(client, jpeg, **both, wording="template").status_code == 303
    newest, first = (job["request"] for job in client.get("/jobs").json()["jobs"])
    assert (first.get("template"), first["prompt"]) == (None, "Pan left")
    assert (newest["template"], newest.get("prompt")) == ("archive", None)


def test_takes_and_photographs_multiply(make_client, jpeg):
    client = make_client(work=False, auth="off")
    files = [("image", ("a.jpg", jpeg, "image/jpeg")), ("image", ("b.jpg", jpeg, "image/jpeg"))]
    data = {"csrf": "open", "prompt": "Pan left", "takes": "3", "seed": "7"}
    answer = client.post("/submit", data=data, files=files)
    assert (answer.status_code, answer.headers["location"]) == (303, "/#clips")
    seeds = sorted(job["request"]["seed"] for job in client.get("/jobs").json()["jobs"])
    assert seeds == [7, 7, 8, 8, 9, 9]
    assert _submit(client, jpeg, takes="5").status_code == 422


def test_a_refusal_amid_several_says_how_many_are_on_their_way(make_client, jpeg):
    client = make_client(work=False, auth="off", per_minute=2)
    answer = _submit(client, jpeg, takes="3")
    assert answer.status_code == 429
    assert "2 of 3 clips are on their way" in answer.text


def test_a_photograph_that_forbids_use_by_ai_asks_who_allowed_it(make_client, tmp_path):
    client = make_client(work=False, auth="off")
    press = jpeg_file(tmp_path / "a.jpg", xmp=xmp("DMI-PROHIBITED")).read_bytes()
    refused = _submit(client, press)
    assert refused.status_code == 422
    assert "forbids use by AI" in refused.text and 'name="rights_reason"' in refused.text
    assert client.get("/jobs").json()["jobs"] == []
    assert _submit(client, press, rights_reason="the agency, by phone").status_code == 303
    (job,) = client.get("/jobs").json()["jobs"]
    assert job["request"]["rights_reason"] == "the agency, by phone"
    found = list(entries(client.app.state.service.database))
    told = [read_entry(row)["data"].get("rights_reason_sha256") for row in found]
    assert digest("the agency, by phone") in told
    assert not any("agency" in row.text for row in found), "words are not kept for ever"


def test_again_takes_photograph_words_and_seed_over(make_client, jpeg):
    client = make_client(work=False, auth="off")
    typed = {
        "prompt": "",
        "template": "archive",
        "slot.archive.year": "1971",
        "seed": "5",
        "fit": "pad",
    }
    _submit(client, jpeg, **typed)
    first = client.get("/jobs").json()["jobs"][0]
    page = client.get(f"/?again={first['id']}").text
    for part in (f'value="{first["id"]}"', 'value="1971"', 'value="5"', 'value="pad" selected'):
        assert part in page
    again = client.post(
        "/submit", data={"csrf": "open", "prompt": "Pan left", "photograph_of": first["id"]}
    )
    assert again.status_code == 303
    store = client.app.state.service.store
    newest, oldest = store.page()
    assert newest.source == oldest.source
    client.post(f"/jobs/{first['id']}/cancel")
    nothing = client.post("/submit", data={"csrf": "open", "prompt": "Pan left"})
    assert (nothing.status_code, "Choose a photograph first" in nothing.text) == (422, True)


@pytest.mark.parametrize(
    "path",
    [
        "/clips/x",
        "/clips/" + "0" * 21,
        "/?state=nope",
        "/clips/%00",
        "/?since=2026-02-31",
        "/compare",
    ],
)
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
    assert answer.status_code == 409
    assert "only finished clips are enlarged" in answer.text
    late = client.post(f"/clips/{job.id}/cancel", data={"csrf": "open"})
    assert (late.status_code, "CANCELLED already" in late.text) == (409, True)
    assert client.post(f"/clips/{job.id}/explode", data={"csrf": "open"}).status_code == 404


@pytest.mark.parametrize(("sent", "wanted"), [
    ({}, {"preset": "fast"}),
    ({"quality": "balanced"}, {"preset": "balanced"}),
    ({"quality": "nearest/plain"}, {"preset": "plain", "upscaler": "nearest"}),
])  # fmt: skip
def test_a_clip_is_enlarged_by_the_chosen_upscaler(client, tmp_path, monkeypatch, sent, wanted):
    register(monkeypatch, tmp_path)
    store = client.app.state.service.store
    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    wait_until(lambda: store.get(job.id).state.final)
    page = client.get(f"/clips/{job.id}").text
    assert re.findall(r'<option value="([^"]+)"', page)[:5] == [
        "fast",
        "balanced",
        "quality",
        "nearest/plain",
        "nearest/noisy",
    ]
    assert "Nearest, plain" in page
    assert client.post(f"/clips/{job.id}/upscale", data={"csrf": "open"} | sent).status_code == 303
    made = store.page()[0]
    assert (
        made.kind,
        {name: made.request.get(name) for name in ("preset", "upscaler") if name in made.request},
    ) == ("upscale", wanted)
    refused = client.post(f"/clips/{job.id}/upscale", data={"csrf": "open", "quality": "star"})
    assert (refused.status_code, "Quality is" in refused.text) == (422, True)


def test_an_open_service_heeds_no_other_site(client, jpeg):
    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    head = {"Sec-Fetch-Site": "cross-site", "Prefer": "respond-async"}
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    assert (
        client.post("/generate-video", data={"prompt": "p"}, files=files, headers=head).status_code
        == 403
    )
    assert client.delete(f"/jobs/{job.id}", headers=head).status_code == 403
    assert _submit(client, jpeg, head).status_code == 403
    assert client.post("/login", data={"key": "nr_x"}, headers=head).status_code == 403
    assert _submit(client, jpeg, {"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert client.get("/jobs", headers=head).status_code == 200


def test_who_is_not_logged_in_is_sent_to_the_login(make_client, jpeg):
    client = make_client(work=False)
    client.cookies.set("newsreel_session", "expired")
    clip = "/clips/" + "0" * 21
    button = client.post(f"{clip}/cancel", headers={"Referer": f"http://testserver{clip}"})
    answers = client.get("/"), _submit(client, jpeg), client.get(clip), button
    wanted = "/login", "/login", *[f"/login?next={quote(clip, safe='')}"] * 2
    for answer, location in zip(answers, wanted, strict=True):
        assert (answer.status_code, answer.headers["location"]) == (303, location)
