"""What every answer carries and what none tells: ids, headers, HEAD, ranges;
no paths, no inside.
"""

import json

import pytest
from loguru import logger

from src.accounts.rights import Role
from src.api.answers import without_paths
from src.core.errors import BadInputError, OutputError
from src.core.paths import CHECKPOINTS
from src.jobs.model import NewJob
from tests.api.conftest import log_in
from tests.waiting import wait_until


@pytest.fixture
def log():
    """Lines of the log, as JSON."""
    lines = []
    sink = logger.add(
        lambda text: lines.append(json.loads(text)["record"]), serialize=True, level="DEBUG"
    )
    yield lines
    logger.remove(sink)


def test_a_bug_answers_with_its_id_and_the_headers_and_the_log_has_both(client, monkeypatch, log):
    monkeypatch.setattr(client.app.state.service.store, "find", lambda *_: 1 / 0)
    for path in ("/jobs", "/"):
        answer = client.get(path, headers={"X-Request-Id": "my-id"})
        assert answer.status_code == 500
        assert answer.headers["x-request-id"] == "my-id"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "division" not in answer.text
    told = [line for line in log if line["exception"] is not None]
    assert [line["extra"]["request"] for line in told] == ["my-id"] * 2
    assert all(line["exception"]["type"] == "ZeroDivisionError" for line in told)


def test_no_answer_tells_a_path_of_this_machine(make_client, monkeypatch, home):
    client = make_client(work=False, auth="off")
    service, secrets = client.app.state.service, (str(home), str(CHECKPOINTS), "/usr/lib/x")
    store = service.store
    detail = (
        f"{home}/photographs/abc.png is damaged; see {CHECKPOINTS}/upscaler/fast.safetensors and "
        "/usr/lib/x/y.so"
    )
    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    service.leases.hold_device("d", "w", "p", {})
    service.leases.fail(
        service.leases.claim("w", "d"), {"type": "BadInputError", "detail": detail, "status": 422}
    )
    answers = [client.get(f"/jobs/{job.id}"), client.get("/jobs"), client.get(f"/clips/{job.id}"),
               client.get(f"/jobs/{job.id}/events")]  # fmt: skip
    for error in (OutputError(detail), BadInputError(detail)):
        monkeypatch.setattr(store, "find", lambda *_, error=error: (_ for _ in ()).throw(error))
        answers += [client.get("/jobs"), client.get("/")]
    for answer in answers:
        assert not any(secret in answer.text for secret in secrets), answer.text
        assert "abc.png is damaged" in answer.text or answer.status_code == 200


def test_paths_are_named_from_where_they_are_known(home):
    assert without_paths(f"{home}/uploads/a.video") == "outputs/uploads/a.video"
    assert without_paths(f"in '{CHECKPOINTS}/x'; /etc/passwd") == "in 'checkpoints/x'; passwd"
    assert (
        without_paths("see /jobs/abc/events, 1/2, a/b, https://x/usr/y")
        == "see /jobs/abc/events, 1/2, a/b, https://x/usr/y"
    )


def test_manifests_and_previews_that_are_links_are_not_followed(client, home):
    (home / "examples").mkdir(parents=True, exist_ok=True)
    (home / "secret.json").write_text('{"secret": 1}')
    (home / "examples" / "by-hand.mp4").write_bytes(b"v")
    (home / "examples" / "by-hand.json").symlink_to(home / "secret.json")
    assert client.get("/artifacts/by-hand.mp4/manifest").status_code == 404
    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    (home / "previews").mkdir(exist_ok=True)
    (home / "previews" / f"{job.id}.jpg").symlink_to(home / "secret.json")
    assert client.get(f"/jobs/{job.id}/preview").status_code == 404


def test_the_reference_follows_the_access_rules_and_has_a_policy(make_client):
    client = make_client(work=False)
    secret, _ = client.app.state.service.accounts.create("desk", Role.READ)
    assert client.get("/openapi.json").status_code == 401
    for path in ("/docs", "/redoc"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/login?next=%2F{path[1:]}",
        )
    assert (
        client.get("/openapi.json", headers={"X-API-Key": secret}).json()["info"]["title"]
        == "Newsreel"
    )
    log_in(client, secret)
    for path in ("/docs", "/redoc"):
        policy = client.get(path).headers["content-security-policy"]
        assert "script-src" in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert "frame-ancestors 'none'" in policy


def test_head_is_answered_wherever_get_is_without_a_body(client):
    store = client.app.state.service.store
    job, _ = store.submit(NewJob("generate", "open", {"prompt": "p", "fake_seconds": 0.1}))
    wait_until(lambda: store.get(job.id).artifact)
    fill = {"job_id": job.id, "task_id": job.id, "filename": store.get(job.id).artifact,
            "release_id": "0" * 21}  # fmt: skip
    described = {
        path for path, methods in client.app.openapi()["paths"].items() if "get" in methods
    }
    assert len(described) >= 10
    pages = {
        "/",
        "/login",
        "/clips/{job_id}",
        "/openapi.json",
        "/docs",
        "/redoc",
        "/static/base.css",
    }
    for path in sorted(described | pages):
        url = path.format(**fill) + ("?seconds=0" if path == "/jobs/events" else "")
        get, head = client.get(url), client.head(url)
        assert (head.status_code, head.content) == (get.status_code, b""), url
        assert head.headers["content-type"] == get.headers["content-type"], url
        assert head.headers.get("content-length") == get.headers.get("content-length") or path in (
            "/metrics",
            "/health",
        )
    assert client.head("/generate-video").status_code == 405


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("items=0-5", 200),
        ("bytes", 200),
        ("bytes=x-y", 200),
        ("bytes=0-3", 206),
        ("bytes=5-2", 200),
        ("bytes=0-1,5-2", 200),
        ("bytes=--1", 200),
        ("bytes=-", 200),
        ("bytes=-" + "9" * 5000, 200),
        ("BYTES=0-3", 206),
        ("bytes=0-1, 3-4", 206),
        ("bytes=-3", 206),
    ],
)
def test_what_is_no_range_of_bytes_is_ignored(client, home, sent, status):
    (home / "examples").mkdir(parents=True, exist_ok=True)
    (home / "examples" / "by-hand.mp4").write_bytes(b"0123456789")
    asked = {"Range": sent}
    assert client.get("/artifacts/by-hand.mp4", headers=asked).status_code == status
    assert client.head("/artifacts/by-hand.mp4", headers=asked).status_code == status


def test_a_client_that_leaves_while_it_sends_is_no_bug_of_the_service(client, log):
    part = b'--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nslow pu'
    came = iter([{"type": "http.request", "body": part, "more_body": True}])
    answers = []

    async def receive():
        return next(came, {"type": "http.disconnect"})

    async def send(message):
        answers.append(message)

    headers = [(b"host", b"testserver"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {
        "type": "http", "method": "POST", "path": "/generate-video", "headers": headers,
        "query_string": b"", "client": ("127.0.0.1", 1), "state": {},
    }  # fmt: skip
    client.portal.call(client.app, scope, receive, send)
    assert answers == []
    assert not [line for line in log if line["level"]["name"] == "ERROR"]
    assert 'status="499"' in client.get("/metrics").text


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\x00b", "a\u202eb", "a\x7fb"])
def test_names_of_keys_are_plain_text(client, name):
    with pytest.raises(BadInputError, match="control characters"):
        client.app.state.service.accounts.create(name, Role.SUBMIT)
