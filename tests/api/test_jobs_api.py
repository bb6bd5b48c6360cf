import asyncio
import json
import time

import pytest
from starlette.requests import HTTPConnection

from src.api.security import is_known
from src.api.stream import _of_one, last_event
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob


def _submit(client, owner="open", **request):
    return client.app.state.service.store.submit(
        NewJob("generate", owner, {"prompt": "p"} | request)
    )[0]


def _wait(client, job_id, state, headers=None):
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        job = client.get(f"/jobs/{job_id}", headers=headers).json()
        if job["state"] == state:
            return job
        time.sleep(0.02)
    raise AssertionError(job)


def test_list_pages_and_filters(make_client):
    client = make_client(work=False, auth="off")
    ids = [_submit(client).id for _ in range(5)]
    page = client.get("/jobs?limit=2").json()
    assert [job["id"] for job in page["jobs"]] == sorted(ids)[:2:-1]
    rest = client.get(f"/jobs?limit=10&before={page['next']}").json()
    assert len(rest["jobs"]) == 3
    assert rest["next"] is None
    assert client.get("/jobs?state=FAILED").json()["jobs"] == []
    assert client.get("/jobs?state=nope").status_code == 422


def test_life_of_a_job(client):
    job = _submit(client)
    done = _wait(client, job.id, "COMPLETED")
    clip = client.get(done["artifact_url"])
    assert (clip.status_code, clip.headers["content-type"]) == (200, "video/mp4")
    part = client.get(done["artifact_url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"clip")
    again = client.get(done["artifact_url"], headers={"If-None-Match": clip.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (
        304,
        b"",
        clip.headers["etag"],
    )
    head = client.head(done["artifact_url"])
    assert (head.status_code, head.content, head.headers["etag"]) == (
        200,
        b"",
        clip.headers["etag"],
    )
    assert head.headers["content-length"] == str(len(clip.content))
    other = client.get(done["artifact_url"], headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, clip.content)
    beyond = client.get(done["artifact_url"], headers={"Range": "bytes=9999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (
        416,
        f"bytes */{len(clip.content)}",
    )
    assert beyond.headers["content-type"] == "application/problem+json"
    assert "bytes that the file does not have" in beyond.json()["detail"]
    assert client.get(done["manifest_url"]).json() == {}
    assert client.post(f"/jobs/{job.id}/cancel").status_code == 409
    assert client.delete(f"/jobs/{job.id}").status_code == 204
    assert client.get(f"/jobs/{job.id}").status_code == 404
    assert client.get(done["artifact_url"]).status_code == 404


def test_cancel_and_retry(client):
    job = _submit(client, fake_steps=500, fake_seconds=30)
    _wait(client, job.id, "PROCESSING")
    assert client.post(f"/jobs/{job.id}/cancel").json()["cancel_requested"]
    _wait(client, job.id, "CANCELLED")
    assert client.post(f"/jobs/{job.id}/retry").json()["state"] == "PENDING"


def test_pins(client):
    job = _submit(client)
    assert client.put(f"/jobs/{job.id}/pin").json()["pinned"] is True
    assert client.delete(f"/jobs/{job.id}/pin").json()["pinned"] is False


def test_events_stream_and_resume(client):
    job = _submit(client, fake_steps=3, fake_seconds=1)
    with client.stream("GET", f"/jobs/{job.id}/events") as stream:
        events = _parse(stream.iter_lines())
    kinds = [kind for _, kind, _ in events]
    assert kinds[0] == "state"
    assert kinds[-2:] == ["state", "end"]
    assert json.loads(events[-2][2])["state"] == "COMPLETED"
    assert any(kind == "progress" and json.loads(data)["total"] == 3 for _, kind, data in events)
    with client.stream(
        "GET", f"/jobs/{job.id}/events", headers={"Last-Event-ID": events[-3][0]}
    ) as stream:
        assert _parse(stream.iter_lines()) == events[-2:]


def test_a_stream_ends_when_its_key_is_revoked(keys):
    client, heads = keys
    service, secret = client.app.state.service, heads["submit"]["Authorization"].split()[1]
    account = service.accounts.find(secret)
    job = _submit(client, owner=account.id)
    _wait(client, job.id, "COMPLETED", heads["submit"])
    request = HTTPConnection(
        {"type": "http", "headers": [(b"authorization", b"Bearer " + secret.encode())]}
    )

    async def followed():
        return [
            text
            async for text in _of_one(
                service.broadcaster, job.id, 0, lambda: is_known(request, service)
            )
        ]

    assert asyncio.run(followed())[-1].startswith("event: end")
    service.accounts.revoke(account.id)
    service._known.clear()  # instead of two seconds
    assert asyncio.run(followed()) == []


def test_the_last_event_is_a_plain_number():
    assert [last_event(text, 3) for text in ("7", "", "\xb2", "-1", "9" * 30)] == [7, 3, 3, 3, 3]


def _parse(lines):
    events, current = [], {}
    for line in lines:
        if not line and current:
            events.append((current.get("id", ""), current.get("event"), current.get("data")))
            current = {}
        elif ": " in line and not line.startswith(":"):
            name, _, text = line.partition(": ")
            current[name] = text
    return events


@pytest.mark.parametrize(
    "path",
    ["/jobs/x", "/jobs/" + "0" * 21, "/jobs/" + "0" * 21 + "/events", "/jobs/..%2f..", "/nope"],
)
def test_unknown_ids(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fnewsreel.db",
        "%2e%2e/jobs.db",
        "x.json",
        "a.mp4%00.png",
        ".hidden.mp4",
        "a" * 300 + ".mp4",
        "nope.mp4",
    ],
)
def test_no_way_out_of_the_artifacts(client, home, name):
    (home / "secret.mp4").parent.mkdir(parents=True, exist_ok=True)
    (home / "secret.mp4").write_text("s")
    (home / "examples").mkdir(exist_ok=True)
    (home / "examples" / "link.mp4").symlink_to(home / "secret.mp4")
    assert client.get(f"/artifacts/{name}").status_code in (404, 422)
    assert client.get("/artifacts/link.mp4").status_code == 404
    assert client.get("/artifacts/..%2fsecret.mp4").status_code == 404


def test_clips_made_by_commands_are_there_too(client, home):
    (home / "examples").mkdir(parents=True)
    (home / "examples" / "by-hand-7.mp4").write_bytes(b"video")
    assert client.get("/artifacts/by-hand-7.mp4").content == b"video"
    assert client.get("/artifacts/by-hand-7.mp4/manifest").status_code == 404


def test_who_may_do_what(keys):
    client, heads = keys
    accounts = client.app.state.service.accounts
    owner = accounts.find(heads["submit"]["Authorization"].split()[1]).id
    job = _submit(client, owner=owner)
    done = _wait(client, job.id, "COMPLETED", heads["submit"])
    assert client.get(done["artifact_url"], headers=heads["submit"]).status_code == 200
    assert client.get(done["artifact_url"], headers=heads["admin"]).status_code == 200
    for name in ("other", "read"):
        assert client.get(done["artifact_url"], headers=heads[name]).status_code == 404
        assert client.get(f"/jobs/{job.id}", headers=heads[name]).status_code == 404
        assert client.get("/jobs", headers=heads[name]).json()["jobs"] == []
    assert client.post(f"/jobs/{job.id}/retry", headers=heads["read"]).status_code == 403
    assert client.get("/metrics", headers=heads["submit"]).status_code == 403
    for path in (
        "/jobs",
        f"/jobs/{job.id}",
        done["artifact_url"],
        "/metrics",
        "/api/status/" + job.id,
    ):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "www-authenticate" in answer.headers
    assert client.get("/jobs", headers={"X-API-Key": "nr_wrong"}).status_code == 401


def test_health_ready_and_metrics(make_client):
    client = make_client(work=False, auth="off")
    body = client.get("/health").json()
    assert (body["status"], body["pipeline"], body["queue"]) == (
        "ok",
        "absent",
        {"PENDING": 0, "PROCESSING": 0},
    )
    assert client.get("/ready").status_code == 503
    worker = make_client(auth="off")
    for _ in range(100):
        if worker.get("/ready").status_code == 200:
            break
        time.sleep(0.02)
    assert worker.get("/ready").json() == {"status": "ready", "warm": None}
    job = _submit(worker)
    _wait(worker, job.id, "COMPLETED")
    text = worker.get("/metrics").text
    assert 'newsreel_jobs_finished_total{kind="generate",state="COMPLETED"} 1.0' in text
    assert 'newsreel_queue_jobs{state="PENDING"} 0.0' in text
    assert "newsreel_stage_seconds_bucket" in text


def test_every_answer_carries_security_headers_and_an_id(client):
    for path in ("/health", "/nope", "/login", "/static/base.css"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-request-id"]
    assert (
        client.get("/health", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    assert (
        client.get("/health", headers={"X-Request-Id": "bad id\x7f"}).headers["x-request-id"]
        != "bad id\x7f"
    )


def test_a_bug_answers_500_without_its_inside(client, monkeypatch):
    monkeypatch.setattr(client.app.state.service.store, "find", lambda *_: 1 / 0)
    answer = client.get("/jobs")
    assert answer.status_code == 500
    assert "division" not in answer.text


def test_the_service_imports_no_torch_and_no_extra():
    import subprocess
    import sys

    code = (
        "import src.api_server, src.worker.supervise, sys;"
        "heavy = ('torch', 'diffusers', 'cv2', 'celery', 'kombu');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_health_tells_the_model_and_ready_waits_for_what_is_to_be_warm(make_client):
    client = make_client(work=False, auth="off")
    leases = client.app.state.service.leases
    model = {
        "name": "nano",
        "revision": None,
        "weights": "0" * 12,
        "width": 240,
        "height": 160,
        "frames": 49,
        "fps": 8.0,
    }
    assert client.get("/health").json()["model"] is None
    info = {"name": "a card", "model": model, "preload": "optimized"}
    assert leases.hold_device("host/x", "w", "p", info)
    body = client.get("/health").json()
    assert (body["device"], body["model"], body["warm"], body["pipeline"]) == (
        "a card",
        model,
        None,
        "starting",
    )
    assert client.get("/ready").status_code == 503
    leases.hold_device("host/x", "w", "p", info | {"warm": "optimized"})
    assert client.get("/ready").json() == {"status": "ready", "warm": "optimized"}
    assert client.get("/health").json()["pipeline"] == "ready"


def test_ready_says_what_a_worker_lacks(make_client):
    client = make_client(work=False, auth="off", lease=60)
    leases = client.app.state.service.leases
    leases.hold_device("host/x", "w", "p", {"name": "x"})
    assert client.get("/ready").status_code == 200
    leases.hold_device(
        "host/x", "w", "p", {"name": "x", "trouble": "/models/nano has no transformer/"}
    )
    answer = client.get("/ready")
    assert (answer.status_code, "nano has no transformer/" in answer.json()["detail"]) == (
        503,
        True,
    )
    assert client.get("/health").json()["pipeline"] == "failing"
    leases.hold_device("host/y", "other", "p", {"name": "y"})
    assert client.get("/ready").status_code == 200


def test_a_worker_that_is_silent_for_a_lease_is_not_ready(make_client):
    client = make_client(work=False, auth="off", lease=60)
    leases = client.app.state.service.leases
    LeaseStore(leases.database, lambda: time.time() - 61).hold_device(
        "host/x", "w", "p", {"name": "x"}
    )
    body = client.get("/health").json()
    assert (body["silent"], body["device"], client.get("/ready").status_code) == (["w"], None, 503)
    LeaseStore(leases.database, lambda: time.time() - 50).hold_device(
        "host/x", "w", "p", {"name": "x"}
    )
    assert client.get("/health").json()["silent"] == []
    assert client.get("/ready").status_code == 200


def test_frames_a_second_and_stages_are_measured(client):
    begin = time.monotonic()
    job = _submit(client, fake_steps=4, fake_seconds=0.4)
    done = _wait(client, job.id, "COMPLETED")
    whole = time.monotonic() - begin
    assert done["result"]["frames"] == 4
    assert 0.4 <= done["result"]["seconds"]["denoise"] <= whole
    figures = dict(
        line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#"
    )
    assert 4 / whole <= float(figures['newsreel_frames_per_second{kind="generate"}']) <= 10
    assert float(figures['newsreel_stage_seconds_sum{stage="denoise"}']) >= 0.4
