"""Pictures that stand for jobs: the photograph, then a frame of the clip."""

import io
import shutil

import pytest
from PIL import Image

from src.core.paths import REPOSITORY, examples, home
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob

CLIP = REPOSITORY / "outputs" / "examples" / "baseline_cityhall.mp4"


@pytest.fixture
def submitted(make_client, jpeg):
    client = make_client(work=False, auth="off")
    files, head = {"image": ("p.jpg", jpeg, "image/jpeg")}, {"Prefer": "respond-async"}
    answer = client.post("/generate-video", data={"prompt": "p"}, files=files, headers=head)
    return client, answer.json()


def _size(answer):
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content)).size


def _publish(client, clip):
    leases = LeaseStore(client.app.state.service.database)
    leases.hold_device("d", "w", "p", {})
    job = leases.claim("w", "d")
    name = f"p-{job.id}-{job.token}.mp4"
    examples().mkdir(parents=True, exist_ok=True)
    shutil.copy(clip, examples() / name)
    leases.complete(job, name, {})
    return name


def test_the_photograph_then_a_frame_of_the_clip(submitted):
    client, job = submitted
    before = client.get(job["picture_url"])
    assert before.content == client.get(f"/jobs/{job['id']}/photograph").content
    _publish(client, CLIP)
    after = client.get(job["picture_url"])
    assert _size(after) == (720, 480)
    assert after.content != before.content
    assert client.get(f"/jobs/{job['id']}/photograph").content == before.content


def test_a_clip_that_cannot_be_decoded_keeps_the_photograph(submitted, tmp_path):
    client, job = submitted
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    before = client.get(job["picture_url"]).content
    _publish(client, broken)
    assert client.get(job["picture_url"]).content == before


def test_they_go_with_the_job(submitted):
    client, job = submitted
    client.get(job["picture_url"])
    assert list((home() / "previews").glob(f"{job['id']}*"))
    client.post(f"/jobs/{job['id']}/cancel")
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert not list((home() / "previews").glob(f"{job['id']}*"))
    assert client.get(job["picture_url"]).status_code == 404


def test_a_large_photograph_becomes_small(make_client):
    client, buffer = make_client(work=False, auth="off"), io.BytesIO()
    Image.new("RGB", (3000, 2000), "teal").save(buffer, "JPEG")
    head = {"Prefer": "respond-async"}
    files = {"image": ("p.jpg", buffer.getvalue(), "image/jpeg")}
    job = client.post("/generate-video", data={"prompt": "p"}, files=files, headers=head).json()
    assert _size(client.get(f"/jobs/{job['id']}/photograph")) == (960, 640)


def test_other_keys_see_none(keys):
    client, heads = keys
    owner = client.app.state.service.accounts.all()[0].id
    job, _ = client.app.state.service.store.submit(NewJob("generate", owner, {"prompt": "p"}))
    for what in ("picture", "photograph"):
        assert client.get(f"/jobs/{job.id}/{what}", headers=heads["other"]).status_code == 404
