"""The service and its worker on a bucket: each with a home of its own, and nothing shared but the
database and the store.
"""

import os
import subprocess
import sys
import time
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


def test_jobs_wait_for_a_store_that_is_away_and_go_on(fleet, s3_url, s3_line, seaweed, photograph):
    """The worker cannot publish while the line is cut, keeps its lease, and publishes then."""
    away_s = float(os.environ.get("NEWSREEL_TEST_AWAY", "6"))
    store = s3_url.replace(seaweed.url, s3_line.url)
    service = fleet(store, NEWSREEL_MAKER="fake", NEWSREEL_FAKE_SECONDS="2", NEWSREEL_LEASE="4")
    jobs = [_submit(service, photograph).json()["id"] for _ in range(3)]
    wait_until(lambda: service.get(f"/jobs/{jobs[0]}")["state"] == "PROCESSING")
    s3_line.cut = True
    s3_line.sever()
    refused = _submit(service, photograph)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10"), refused.text
    assert "the store cannot be reached" in refused.json()["detail"]
    time.sleep(away_s)
    states = [service.get(f"/jobs/{job}")["state"] for job in jobs]
    assert states == ["PROCESSING", "PENDING", "PENDING"]
    assert service.get("/health")["status"] == "ok"
    metrics = f"{service.url}/metrics"
    assert "newsreel_store_up 0.0" in httpx.get(metrics, timeout=60).text
    assert httpx.delete(f"{service.url}/jobs/{jobs[2]}", timeout=60).status_code in (409, 503)
    s3_line.cut, begin = False, time.monotonic()
    told = [_done(service, job) for job in jobs]
    print(f"3 jobs done {time.monotonic() - begin:.1f} s after {away_s:.0f} s without the store")
    assert [job["attempts"] for job in told] == [1, 1, 1]
    for job in told:
        assert httpx.get(service.url + job["artifact_url"]).text == f"clip of {job['id']}"
    assert "newsreel_store_up 1.0" in httpx.get(metrics, timeout=60).text


def test_what_was_published_is_served_through_whatever_becomes_of_the_key(
    fleet, s3_url, seaweed, photograph
):
    service = fleet(s3_url, NEWSREEL_MAKER="fake", NEWSREEL_FAKE_SECONDS="0.5")
    job = _done(service, _submit(service, photograph).json()["id"])
    url, clip = service.url + job["artifact_url"], f"clip of {job['id']}"
    first = httpx.get(url)
    assert (first.status_code, first.text, first.headers["accept-ranges"]) == (200, clip, "bytes")
    part = httpx.get(url, headers={"Range": "bytes=5-6"})
    assert (part.status_code, part.text) == (206, "of")
    assert httpx.get(url, headers={"Range": "bytes=9000-"}).status_code == 416
    assert httpx.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    picture = httpx.get(service.url + job["picture_url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    place = urllib.parse.urlsplit(s3_url)
    key = f"/{place.netloc}/desk/examples/{job['artifact']}"
    assert seaweed.ask("PUT", key, "", b"replaced by hand").status_code == 200
    assert httpx.get(url).text == clip
    assert seaweed.ask("DELETE", key).status_code == 204
    assert httpx.get(url).text == clip
    listed = seaweed.ask("GET", f"/{place.netloc}", "prefix=desk%2F&versions=").text
    assert listed.count("<Version>") > 3  # clip twice, manifest, photograph, picture
    gone = httpx.delete(f"{service.url}/jobs/{job['id']}")
    assert gone.status_code == 204
    assert httpx.get(url).status_code == 404


@pytest.mark.slow
def test_an_uploaded_video_is_enlarged_on_another_machine(fleet, s3_url, ffmpeg, tmp_path):
    video = tmp_path / "v.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=1", "-pix_fmt", "yuv420p", video)
    service = fleet(s3_url, NEWSREEL_MAKER="engine")
    sent = {"video": ("v.mp4", video.read_bytes(), "video/mp4")}
    answer = httpx.post(f"{service.url}/api/upload", files=sent, timeout=60)
    assert answer.status_code == 202, answer.text
    job = _done(service, answer.json()["taskId"], 240)
    clip = httpx.get(f"{service.url}/api/download/{job['id']}")
    assert clip.content[4:8] == b"ftyp"
    assert clip.headers["content-disposition"].startswith("attachment")
