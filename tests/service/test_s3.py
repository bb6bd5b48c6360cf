"""The service and its worker on a bucket: each with a home of its own, and nothing shared but the
database and the store.
"""

import subprocess
import sys
import urllib.parse

import httpx
import pytest

from src.core.paths import REPOSITORY
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}


@pytest.fixture
def fleet(running, home, tmp_path):
    """A function that starts the API without workers, and one worker with another home."""
    workers = []

    def start(store, **variables):
        database = f"sqlite:///{tmp_path / 'jobs.db'}"
        shared = {"NEWSREEL_STORE": store, "NEWSREEL_DATABASE": database} | variables
        service = running(NEWSREEL_WORKERS="0", **shared).start()
        service.ready()
        own = service.environment | {"NEWSREEL_HOME": str(tmp_path / "other-machine")}
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "src.worker", "--maker", variables["NEWSREEL_MAKER"],
                 "--device", "cpu"],
                cwd=REPOSITORY, env=own, stdout=service.log, stderr=service.log,
            )
        )  # fmt: skip
        return service

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()


def _submit(service, photograph, **fields):
    image = {"image": ("p.png", photograph.read_bytes(), "image/png")}
    url = f"{service.url}/generate-video"
    fields = {"prompt": "pan left"} | fields
    return httpx.post(url, data=fields, files=image, headers=NOW, timeout=60)


def _done(service, job, seconds=120.0):
    wait_until(lambda: service.get(f"/jobs/{job}")["state"] in ("COMPLETED", "FAILED"), seconds)
    told = service.get(f"/jobs/{job}")
    assert told["state"] == "COMPLETED", told["error"]
    return told


@pytest.mark.slow
def test_a_photograph_becomes_a_clip_that_a_link_leads_to(
    fleet, s3_url, seaweed, photograph, home, tmp_path
):
    service = fleet(f"{s3_url}&links=on", NEWSREEL_MAKER="engine")
    answer = _submit(service, photograph, model="nano", num_frames=9, num_inference_steps=2)
    assert answer.status_code == 202, answer.text
    job = _done(service, answer.json()["id"])
    link = httpx.get(service.url + job["artifact_url"])
    assert link.status_code == 307
    where = link.headers["location"]
    assert where.startswith(f"{seaweed.url}/")
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(where).query)["X-Amz-Expires"] == ["60"]
    clip = httpx.get(where)
    assert (clip.status_code, clip.headers["content-type"]) == (200, "video/mp4")
    assert clip.content[4:8] == b"ftyp"
    assert httpx.get(where, headers={"Range": "bytes=4-7"}).content == b"ftyp"
    manifest = httpx.get(service.url + job["manifest_url"], follow_redirects=True).json()
    assert manifest["photograph"].endswith(".png")
    for place in (home, tmp_path / "other-machine"):
        kept = [each.name for name in ("examples", "photographs", "uploads", "previews")
                for each in (place / name).glob("*")]  # fmt: skip
        assert kept == [], place
