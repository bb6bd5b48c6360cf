"""Clients accept the limits of an upscaler's licence by the same field as a model's."""

import json

import pytest

from src.catalog import upscalers
from src.core.errors import BadInputError
from src.core.request import Request
from src.engine.resolve import upscaler_files
from src.journal.checking import entries, read
from src.media.videos import VideoFacts
from src.pipelines.models import find_model
from src.worker.wall import Wall
from tests.api.test_upscale_api import video  # noqa: F401
from tests.contracts.fake_upscaler import register

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
    (told,) = [each["data"] for each in map(read, entries(service.database))
               if each["action"] == "job.submit"]  # fmt: skip
    assert told["accept_licence"] is True and told["upscaler"] == "nearest"


def test_a_clip_is_enlarged_once_it_is_accepted(restricted):
    spec = find_model("nano")
    asked = {"prompt": "p", "input_image": "p.jpg", "upscale": "2x:nearest/plain"}
    with pytest.raises(BadInputError, match=LICENCE):
        upscaler_files(Request(**asked), spec)
    assert upscaler_files(Request(**asked, accept_licence=True), spec)
    with pytest.raises(BadInputError, match=LICENCE):
        upscaler_files(Request(prompt="p", input_image="p.jpg", delivery="nearest/plain"), spec)
