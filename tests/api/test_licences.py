"""Clients accept the limits of a model's licence: by the form, by /v1/videos, on the page."""

import pytest

from src.api import forms
from src.jobs.leases import LeaseStore
from src.jobs.model import State
from src.journal.checking import entries, read_entry
from src.media.reader import VideoReader
from src.worker.engine_runner import EngineRunner
from src.worker.loop import Worker
from tests import other_families as tiny

LICENCE = "Tiny Open Weights, for newsrooms of less than ten people"
SIZE = {"native": {"width": 64, "height": 32}, "frames": {"step": 8, "most": 17}, "num_frames": 9}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An LTX-Video, seeded and untrained, whose licence has limits."""
    folder = tiny.build_ltx(tmp_path_factory.mktemp("licences") / "tiny-ltx")
    return tiny.say(folder, licence=LICENCE, restricted=True, **SIZE)


@pytest.fixture
def client(make_client, weights, monkeypatch):
    monkeypatch.setattr(forms, "CHECKPOINTS", weights.parent)
    monkeypatch.setattr(forms, "under_checkpoints", lambda name, field: str(weights))
    return make_client(work=False, auth="off")


def post(client, jpeg, **fields):
    told = {"prompt": "pan left", "model": "tiny-ltx", "mode": "baseline"} | fields
    return client.post(
        "/generate-video", data=told, files={"image": ("p.jpg", jpeg)},
        headers={"Prefer": "respond-async"},
    )  # fmt: skip


def test_a_clip_is_made_once_the_licence_is_accepted(client, jpeg):
    for fields in ({}, {"accept_licence": "false"}):
        refused = post(client, jpeg, **fields)
        assert refused.status_code == 422 and LICENCE in refused.text
        assert "accept_licence=true" in refused.text
    sent = post(
        client, jpeg, accept_licence="true", num_inference_steps="2", score="false",
        width="64", height="32",
    )  # fmt: skip
    assert sent.status_code == 202, sent.text
    service = client.app.state.service
    runner = EngineRunner(service.files)
    Worker(LeaseStore(service.database), runner, service.files, "host/cpu", once=True).run()
    job = service.store.get(sent.json()["id"])
    assert job.state is State.COMPLETED, job.error
    assert job.request["accept_licence"] is True and job.result["frames"] == 9
    with service.files.local(f"examples/{job.artifact}") as path, VideoReader(path) as reader:
        assert sum(1 for _ in reader) == 9


def test_the_audit_log_keeps_who_accepted_for_which_model(client, jpeg, weights):
    sent = post(client, jpeg, accept_licence="true").json()
    (told,) = [each["data"] for each in map(read_entry, entries(client.app.state.service.database))
               if each["action"] == "job.submit"]  # fmt: skip
    assert told["accept_licence"] is True and told["model"] == str(weights)
    client.delete(f"/jobs/{sent['id']}")


def test_v1_videos_takes_it_and_a_remix_says_it_again(client, jpeg):
    told = {"prompt": "pan left", "model": "tiny-ltx", "mode": "baseline"}
    photograph = {"input_reference": ("p.jpg", jpeg, "image/jpeg")}
    refused = client.post("/v1/videos", data=told, files=photograph)
    assert refused.status_code == 400 and LICENCE in refused.text
    made = client.post("/v1/videos", data=told | {"accept_licence": "true"}, files=photograph)
    assert made.status_code == 200, made.text
    from src.api.openai.wishes import settings_asked

    store = client.app.state.service.store
    settings = settings_asked(store.get(made.json()["id"].removeprefix("video_")))
    assert "model" in settings and "accept_licence" not in settings


def test_the_page_asks_only_where_the_earlier_clips_model_does(client, jpeg):
    assert "accept_licence" not in client.get("/").text
    plain = post(client, jpeg, model="nano", mode="optimized")
    assert plain.status_code == 202, plain.text
    first = post(client, jpeg, accept_licence="true").json()["id"]
    page = client.get(f"/?again={first}").text
    assert (
        LICENCE in page
        and 'name="accept_licence"' in page
        and "checked" not in (page[page.index('id="accept_licence"') :][:80])
    )
    wish = {"csrf": "open", "prompt": "pan right", "photograph_of": first, "model": "tiny-ltx",
            "mode": "baseline"}  # fmt: skip
    refused = client.post("/submit", data=wish)
    assert refused.status_code == 422 and LICENCE in refused.text
    assert 'name="accept_licence"' in refused.text
    taken = client.post("/submit", data=wish | {"accept_licence": "true"})
    assert taken.status_code == 303
    assert client.app.state.service.store.page()[0].request["accept_licence"] is True
