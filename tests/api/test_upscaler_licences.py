"""Clients accept the limits of an upscaler's licence by the same field as a model's."""

import json

import pytest

from src.api import wording
from src.catalog import upscalers
from src.core.errors import BadInputError
from src.core.request import Request
from src.engine.delivered import asked_enlargement
from src.jobs.model import NewJob
from src.journal.checking import entries, read_entry
from src.media.videos import VideoFacts
from src.pipelines.models import find_model
from src.worker.wall import Wall
from tests.api.test_upscale_api import video  # noqa: F401
from tests.contracts.fake_upscaler import register
from tests.waiting import wait_until

BOX = 'id="accept_licence" name="accept_licence"'
LICENCE = "Tiny Research Only"


@pytest.fixture
def restricted(monkeypatch, tmp_path):
    """An upscaler, `nearest`, whose licence has limits."""
    register(monkeypatch, tmp_path)
    known = upscalers.load_upscalers()
    change = {"licence": LICENCE, "restricted": True}
    changed = known | {"nearest": known["nearest"].model_copy(update=change)}
    monkeypatch.setattr(upscalers, "load_upscalers", lambda: changed)
    # another process decodes, which has no such upscaler
    facts = VideoFacts(width=64, height=48, frames=4)
    monkeypatch.setattr(Wall, "check_upscale", lambda wall, path, request: facts)


def upload(client, data, **settings):
    told = {"scale": 2, "quality": "nearest/plain"} | settings
    files = {"video": ("clip.mp4", data, "video/mp4")}
    return client.post("/api/upload", files=files, data={"settings": json.dumps(told)})


def test_an_upload_is_taken_once_it_is_accepted(make_client, restricted, video):  # noqa: F811
    client = make_client(work=False, auth="off")
    for more in ({}, {"accept_licence": False}):
        refused = upload(client, video, **more)
        assert refused.status_code == 422 and LICENCE in refused.text
        assert "accept_licence=true" in refused.text
    sent = upload(client, video, accept_licence=True)
    assert sent.status_code == 202, sent.text
    service = client.app.state.service
    job = service.store.get(sent.json()["taskId"])
    assert job.request["accept_licence"] is True
    (told,) = [each["data"] for each in map(read_entry, entries(service.database))
               if each["action"] == "job.submit"]  # fmt: skip
    assert told["accept_licence"] is True and told["upscaler"] == "nearest"


def test_the_page_asks_once_such_an_upscaler_is_chosen(make_client, restricted):
    client = make_client(auth="off")
    store = client.app.state.service.store
    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    wait_until(lambda: store.get(job.id).state.final)
    page = client.get(f"/clips/{job.id}").text
    assert "Nearest, plain (its licence has limits)" in page and BOX not in page

    def press(quality, **more):
        return client.post(
            f"/clips/{job.id}/upscale", data={"csrf": "open", "quality": quality} | more
        )

    for more in ({}, {"accept_licence": "true"}, {"accept_licence": "nearest/plain"}):
        refused = press("nearest/noisy", **more)
        assert refused.status_code == 422 and "tick the box" in refused.text
        assert '<option value="nearest/noisy" selected>' in refused.text
        assert f'{BOX} value="nearest/noisy">' in refused.text
        assert f"the licence of Nearest, noisy: {LICENCE}" in refused.text
    assert [each.kind for each in store.page()] == ["generate"]
    taken = press("nearest/noisy", accept_licence="nearest/noisy")
    assert (taken.status_code, taken.headers["location"]) == (303, f"/clips/{job.id}")
    made = store.page()[0]
    assert (made.kind, made.request["upscaler"]) == ("upscale", "nearest")
    assert made.request["accept_licence"] is True


def test_the_page_asks_nothing_for_the_others(make_client, restricted):
    client = make_client(auth="off")
    store = client.app.state.service.store
    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    wait_until(lambda: store.get(job.id).state.final)
    sent = client.post(f"/clips/{job.id}/upscale", data={"csrf": "open", "quality": "fast"})
    assert sent.status_code == 303
    assert not store.page()[0].request.get("accept_licence")


def test_a_clip_that_is_not_finished_is_told_first(make_client, restricted):
    client = make_client(work=False, auth="off")
    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    early = client.post(
        f"/clips/{job.id}/upscale", data={"csrf": "open", "quality": "nearest/plain"}
    )
    assert (early.status_code, "only finished clips" in early.text) == (409, True)


def test_the_form_asks_for_the_upscaler_that_the_model_delivers_by(restricted, monkeypatch):
    nano = find_model("nano")
    for model, delivery, limits in (
        (nano, "nearest/plain", LICENCE), (nano, "lanczos", ""), (nano, "fast", ""),
        (nano.model_copy(update={"licence": "Own", "restricted": True}), "nearest/plain",
         f"Own; {LICENCE}"),
    ):  # fmt: skip
        changed = model.model_copy(update={"delivery": delivery})
        monkeypatch.setattr(wording, "find_model", lambda name, changed=changed: changed)
        assert wording.Typed(model="nano").limits == limits
    assert wording.Typed().limits == ""


def test_a_clip_is_enlarged_once_it_is_accepted(restricted):
    spec = find_model("nano")
    asked = {"prompt": "p", "input_image": "p.jpg", "upscale": "2x:nearest/plain"}
    with pytest.raises(BadInputError, match=LICENCE):
        asked_enlargement(Request(**asked), spec)
    assert asked_enlargement(Request(**asked, accept_licence=True), spec).upscale
    with pytest.raises(BadInputError, match=LICENCE):
        asked_enlargement(Request(prompt="p", input_image="p.jpg", delivery="nearest/plain"), spec)
