import asyncio
import errno
import io
import json
import threading
import time
import zlib
from contextlib import suppress

import pytest
from PIL import Image

from src.api.generate import answer
from src.api.problems import ApiError
from src.jobs.forecast import forecasts
from src.jobs.model import NewJob

PROMPT = {"prompt": "Press briefing, pan left"}


def _post(client, jpeg, data=None, headers=None, name="p.jpg"):
    files = {"image": (name, jpeg, "image/jpeg")}
    return client.post(
        "/generate-video", data=PROMPT if data is None else data, files=files, headers=headers or {}
    )


def test_a_clip_comes_back_with_its_score(client, jpeg, home):
    answer = _post(client, jpeg)
    assert answer.status_code == 200
    body = answer.json()
    assert body["temporal_score"] == 1.0
    assert body["url"] == f"/artifacts/{body['job']['artifact']}"
    assert (home / "examples" / body["job"]["artifact"]).is_file()
    assert len(list((home / "photographs").iterdir())) == 1
    assert "input_image" not in body["job"]["request"]


def test_respond_async_answers_at_once(client, jpeg):
    answer = _post(client, jpeg, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert job["state"] in ("PENDING", "PROCESSING", "COMPLETED")


def test_who_waits_too_long_gets_the_job(make_client, jpeg):
    client = make_client(work=False, auth="off", wait=0.3)
    assert _post(client, jpeg).status_code == 202


@pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, {}], ids=["at once", "waits"])
def test_the_queue_ahead_is_reckoned_beside_the_event_loop(make_client, jpeg, monkeypatch, headers):
    reckoned = []

    def reckon(*arguments):
        with suppress(RuntimeError):
            reckoned.append(asyncio.get_running_loop())
        reckoned.append("in a thread")
        return forecasts(*arguments)

    monkeypatch.setattr("src.api.outlook.forecasts", reckon)
    answered = _post(make_client(work=False, auth="off", wait=0.05), jpeg, headers=headers)
    assert answered.status_code == 202
    assert reckoned == ["in a thread"]
    assert answered.json()["queue_place"] == 1


def test_an_idempotency_key_makes_one_job(client, jpeg):
    headers = {"Prefer": "respond-async", "Idempotency-Key": "abc"}
    first, again = (_post(client, jpeg, headers=headers).json() for _ in range(2))
    assert first["id"] == again["id"]
    assert _post(client, jpeg, {"prompt": "another"}, headers).status_code == 409


def test_an_empty_idempotency_key_is_none(client, jpeg):
    headers = {"Prefer": "respond-async", "Idempotency-Key": ""}
    assert [_post(client, jpeg, {"prompt": word}, headers).status_code for word in "ab"] == [
        202,
        202,
    ]


def test_the_same_new_photograph_from_many_at_once(make_client, pixels):
    client, answers = make_client(work=False, auth="off"), []
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((2000, 1500)).save(buffer, "PNG", compress_level=0)
    head = {"Prefer": "respond-async"}
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                _post(client, buffer.getvalue(), headers=head).status_code
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 8


def test_a_template_with_slots(client, jpeg):
    data = {"template": "archive", "set": json.dumps({"year": "1969"})}
    assert _post(client, jpeg, data).status_code == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "either prompt or template"),
        ({"prompt": "a", "template": "archive"}, "either prompt or template"),
        ({"prompt": "  "}, "must not be empty"),
        ({"template": "nope"}, "unknown template"),
        ({"template": "archive", "set": '{"nope": "x"}'}, "unknown slot"),
        ({"template": "archive", "set": "[1"}, "JSON object"),
        ({"template": "archive", "set": '{"year": "\\ud800"}'}, "JSON object of texts"),
        ({"prompt": "a", "seed": "-1"}, "seed"),
        ({"prompt": "a", "seed": "NaN"}, "seed"),
        ({"prompt": "a", "mode": "turbo"}, "mode"),
        ({"prompt": "a", "priority": "now"}, "priority"),
        ({"prompt": "a", "output_path": "/etc/passwd"}, "output_path"),
        ({"prompt": "a", "lora": "../../etc"}, "under checkpoints/"),
        ({"prompt": "a", "lora": "/etc/passwd"}, "under checkpoints/"),
        ({"prompt": "a", "lora": "https://evil/x.safetensors"}, "under checkpoints/"),
        ({"prompt": "a", "lora": "a\0b"}, "under checkpoints/"),
        ({"prompt": "a", "lora": "nope"}, "not under checkpoints/"),
        ({"prompt": "a", "lora": "n" * 280}, "not under checkpoints/"),
        ({"prompt": "a", "model": "/etc"}, "under checkpoints/"),
        ({"prompt": "a", "model": "hf://x/y"}, "under checkpoints/"),
        ({"prompt": "a\x00b"}, "null byte"),
        ({"prompt": "x" * 5000}, "4000"),
    ],
)
def test_bad_fields_get_one_sentence(client, jpeg, home, data, words):
    answer = _post(client, jpeg, data)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert not (home / "photographs").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"\xff\xd8\xff\xe0" + b"\x00" * 100,
        b"<svg onload=alert(1)>",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n" * 9,
    ],
)
def test_bad_pictures(client, home, content):
    answer = _post(client, content)
    assert answer.status_code == 422
    assert not (home / "photographs").exists()
    assert client.get("/jobs").json()["jobs"] == []


def test_a_truncated_picture_and_a_bomb(client, jpeg, home):
    def chunk(kind, data):
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    size = (60_000).to_bytes(4, "big") * 2
    header = chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0]))
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    for content in (jpeg[: len(jpeg) // 2], bomb):
        assert _post(client, content).status_code == 422
    assert not (home / "photographs").exists()


def test_names_of_uploads_are_never_used(client, jpeg, home):
    for name in (
        "../../../../etc/cron.d/x",
        "a\x00b.jpg",
        "x" * 4000 + ".jpg",
        "CON",
        "..",
        ".mp4",
    ):
        assert _post(client, jpeg, name=name).status_code in (200, 400, 422)
    assert len(list((home / "photographs").iterdir())) == 1


def test_too_large_is_said_before_it_is_stored(make_client, jpeg, home):
    client = make_client(auth="off", max_upload=20_000)
    answer = _post(client, jpeg + b"\x00" * 50_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"

    def endless():
        for _ in range(100):
            yield b"x" * 10_000

    head = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/generate-video", content=endless(), headers=head).status_code == 413


def test_limits_answer_429_and_507(make_client, jpeg):
    full = make_client(work=False, auth="off", max_queue=1)
    assert _post(full, jpeg, headers={"Prefer": "respond-async"}).status_code == 202
    answer = _post(full, jpeg, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


def test_low_disk_refuses_new_jobs(make_client, jpeg):
    client = make_client(work=False, auth="off", min_free=10**18)
    assert _post(client, jpeg).status_code == 507


def test_rate_and_quota_a_key(make_client, jpeg):
    client = make_client(work=False)
    accounts = client.app.state.service.accounts
    for limits, words in (((2, 100), "a minute"), ((100, 2), "a day")):
        head = {"X-API-Key": accounts.create("k", "submit", *limits)[0], "Prefer": "respond-async"}
        assert [_post(client, jpeg, headers=head).status_code for _ in range(2)] == [202, 202]
        answer = _post(client, jpeg, headers=head)
        assert answer.status_code == 429
        assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/generate-video", "/api/upload", "/submit"])
def test_a_disk_that_fills_while_an_upload_comes_answers_507(client, jpeg, monkeypatch, path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("starlette.datastructures.UploadFile.write", full)
    files = {"image": ("p.jpg", jpeg), "video": ("v.mp4", jpeg)}
    answer = client.post(path, files=files)
    assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")


def test_what_a_quota_refuses_leaves_nothing(make_client, jpeg, home):
    client = make_client(work=False)
    head = {"X-API-Key": client.app.state.service.accounts.create("k", "submit", 0, 100)[0]}
    assert _post(client, jpeg, headers=head).status_code == 429
    files = {"video": ("v.mp4", jpeg, "video/mp4")}
    assert client.post("/api/upload", files=files, headers=head).status_code == 429
    assert not (home / "photographs").exists()
    assert not (home / "uploads").exists()


@pytest.mark.parametrize("path", ["/generate-video", "/api/upload", "/submit", "/login"])
def test_a_stranger_cannot_make_the_service_read_much(make_client, path):
    app, read, statuses = make_client(work=False).app, [], []
    part = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'

    async def receive():
        read.append(1)
        return {
            "type": "http.request",
            "body": part if len(read) == 1 else b"x" * 10_000,
            "more_body": len(read) < 500,
        }

    async def send(message):
        statuses.append(message.get("status"))

    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"x-api-key", b"nr_wrong"),
               (b"host", b"testserver")]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers,
             "query_string": b"", "server": ("testserver", 80), "scheme": "http",
             "http_version": "1.1"}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert statuses[0] == 401
    assert len(read) < 10


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "punycode", "utf-16", "hex"])
def test_forms_are_utf_8(client, charset):
    head = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\\ud800\r\n--b--\r\n'
    for path in ("/generate-video", "/api/upload", "/submit", "/login"):
        assert client.post(path, content=body, headers=head).status_code == 415
    assert client.get("/jobs").status_code == 200


@pytest.mark.parametrize("sent", [{"json": {"prompt": "x"}}, {"content": b"x"}, {}])
def test_a_body_that_is_no_form_is_told_what_to_send(client, sent):
    answer = client.post("/generate-video", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "send multipart/form-data, the photograph as image" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["image", "prompt"])
def test_a_field_that_is_sent_twice_is_refused(client, jpeg, name):
    parts = [("image", ("a.jpg", jpeg, "image/jpeg")), ("prompt", (None, "x"))]
    parts += [part for part in parts if part[0] == name]
    answer = client.post("/generate-video", files=parts)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"{name}: sent more than once")


@pytest.mark.parametrize(
    "kind", ["Multipart/Form-Data; boundary=b", "MULTIPART/FORM-DATA;boundary=b"]
)
def test_the_name_of_a_form_is_read_in_any_case(client, kind):
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n'
    answer = client.post("/generate-video", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, "image" in answer.json()["detail"]) == (422, True)


def test_a_failed_job_answers_its_problem(client, jpeg):
    service = client.app.state.service

    job, _ = service.store.submit(NewJob("generate", "open", {"fake_error": "no face in it"}))
    _wait(client, job.id, "FAILED")
    with pytest.raises(ApiError, match="no face in it"):
        answer(service.store.get(job.id), service)


def _wait(client, job_id, state):
    for _ in range(200):
        if client.get(f"/jobs/{job_id}").json()["state"] == state:
            return
        time.sleep(0.02)
    raise AssertionError(client.get(f"/jobs/{job_id}").json())
