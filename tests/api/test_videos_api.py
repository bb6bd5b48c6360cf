"""/v1/videos without a client of theirs: old ones, errors of every place, who sees what."""

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.api import generate
from src.api.openai.errors import VideoError
from src.api.openai.lengths import frames_for, seconds_text, size_for
from src.api.progresses import Progresses
from src.catalog.models import load_models
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.waiting import wait_until

NANO = [load_models()["nano"]]


def _url(jpeg):
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _create(client, jpeg, head=None, **values):
    files = {"input_reference": ("upload", jpeg, "application/octet-stream")}
    return client.post("/v1/videos", data={"prompt": "p"} | values, files=files, headers=head)


def _error(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_an_old_client_sends_json(make_client, jpeg):
    client = make_client(work=False, auth="off")
    body = {"prompt": "p", "seconds": "4", "size": "720x480", "set": None, "seed": 7,
            "input_reference": {"image_url": _url(jpeg)}}  # fmt: skip
    video = client.post("/v1/videos", json=body).json()
    assert (video["seconds"], video["size"], video["frames"]) == ("4", "720x480", 33)
    assert (video["status"], video["progress"], video["seed"]) == ("queued", 0, 7)
    job = client.get(f"/jobs/{video['id'].removeprefix('video_')}").json()
    assert job["request"] == {"prompt": "p", "num_frames": 33, "width": 720, "height": 480,
                              "model": "auto", "seed": 7}  # fmt: skip
    assert client.get(f"/v1/videos/{job['id']}").json()["id"] == video["id"]


def test_the_whole_vocabulary_passes(make_client, jpeg):
    client = make_client(work=False, auth="off")
    sent = {"prompt": "", "template": "briefing", "set[city]": "Lyon", "priority": "urgent",
            "num_inference_steps": "2", "guidance_interval": "0,0.8"}  # fmt: skip
    video = _create(client, jpeg, **sent).json()
    job = client.get(f"/jobs/{video['id'].removeprefix('video_')}").json()
    assert job["request"]["set"] == {"city": "Lyon"}
    assert (job["priority"], job["request"]["guidance_interval"]) == (1, [0.0, 0.8])


@pytest.mark.parametrize(("values", "param", "code"), [
    ({"wobble": "1"}, "wobble", "unknown_parameter"),
    ({"seconds": "8"}, "seconds", "invalid_value"),
    ({"seconds": "long"}, "seconds", "invalid_value"),
    ({"size": "720x1280"}, "size", "invalid_value"),
    ({"size": "large"}, "size", "invalid_value"),
        ({"seconds": "6", "num_frames": "49"}, "seconds", "invalid_value"),
        ({"size": "720x480", "height": "480"}, "size", "invalid_value"),
    ({"model": "sora-2"}, "model", "model_not_found"),
    ({"seed": "x"}, "seed", "invalid_value"),
    ({"prompt": "x" * 4001}, "prompt", "invalid_value"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"num_frames": "50"}, "num_frames", "invalid_value"),
    ({"priority": "soon"}, "priority", "invalid_value"),
    ({"loras[]": "none-such"}, "lora", "invalid_value"),
    ({"input_reference[file_id]": "f"}, "input_reference", "unsupported"),
])  # fmt: skip
def test_what_is_wrong_is_named(client, jpeg, values, param, code):
    files = {} if "input_reference[file_id]" in values else {"input_reference": jpeg}
    answer = client.post("/v1/videos", data={"prompt": "p"} | values, files=files or None)
    error = _error(answer, 400)
    assert (error["param"], error["code"]) == (param, code), error
    assert error["type"] == "invalid_request_error"


def test_a_photograph_that_is_none(client, jpeg):
    assert _error(_create(client, b"no picture"), 400)["param"] == "input_reference"
    assert _error(_create(client, b""), 400)["param"] == "input_reference"
    error = _error(client.post("/v1/videos", data={"prompt": "p"}), 400)
    assert (error["param"], error["code"]) == ("input_reference", "missing_required_parameter")
    far = {"prompt": "p", "input_reference[image_url]": "https://example.org/a.jpg"}
    assert "data:" in _error(client.post("/v1/videos", data=far), 400)["message"]


def test_errors_of_every_place_have_their_shape(make_client, jpeg):
    client = make_client(work=False, max_upload=50_000)
    assert _error(client.get("/v1/videos"), 401)["code"] == "invalid_api_key"
    wrong = {"Authorization": "Bearer nr_wrong"}
    assert _error(client.get("/v1/videos", headers=wrong), 401)["type"] == "authentication_error"
    assert _error(client.get("/v1/nothing"), 404)["code"] == "not_found"
    assert _error(client.put("/v1/videos"), 405)["code"] == "method_not_allowed"
    large = client.post("/v1/videos", content=b"x" * 60_000)
    assert _error(large, 413)["code"] == "request_too_large"
    assert client.head("/v1/nothing").status_code == 404


def test_a_bug_has_their_shape(client, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("secret")

    monkeypatch.setattr(client.app.state.service.store, "find", broken)
    error = _error(client.get("/v1/videos"), 500)
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "secret" not in error["message"]


def test_other_paths_keep_their_problems(client):
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"
    assert client.get("/v1x").headers["content-type"] == "application/problem+json"


def test_broken_bodies(client):
    head = {"Content-Type": "application/json"}
    for body in (b"[1]", b"{", b"\xff"):
        assert _error(client.post("/v1/videos", content=body, headers=head), 400)["code"] == (
            "invalid_json"
        )
    odd = client.post("/v1/videos", content=b'{"\\ud800": "a", "prompt": "p"}', headers=head)
    assert _error(odd, 400)["message"]


def test_a_key_sees_its_own(keys, jpeg):
    client, heads = keys
    video = _create(client, jpeg, heads["submit"]).json()
    assert client.get(f"/v1/videos/{video['id']}", headers=heads["other"]).status_code == 404
    assert client.get("/v1/videos", headers=heads["other"]).json()["data"] == []
    error = _error(client.delete(f"/v1/videos/{video['id']}", headers=heads["other"]), 404)
    assert (error["code"], error["param"]) == ("video_not_found", "video_id")
    assert _error(_create(client, jpeg, heads["read"]), 403)["type"] == "permission_error"


def test_quotas_hold(make_client, jpeg):
    client = make_client(work=False, auth="off", per_minute=1)
    assert _create(client, jpeg).status_code == 200
    answer = _create(client, jpeg)
    assert _error(answer, 429)["code"] == "rate_limit_exceeded"
    assert answer.headers["retry-after"] == "20"


def test_a_retry_finds_what_its_first_try_made(make_client, jpeg):
    client = make_client(work=False, auth="off")
    again = {"x-stainless-retry-count": "1"}
    first, second = _create(client, jpeg).json(), _create(client, jpeg).json()
    assert first["id"] != second["id"]
    assert _create(client, jpeg, again).json()["id"] == second["id"]
    assert _create(client, jpeg, again, seed="7").json()["id"] not in (first["id"], second["id"])
    key = {"Idempotency-Key": "mine"}
    named = _create(client, jpeg, key).json()
    assert _create(client, jpeg, key).json()["id"] == named["id"]
    assert _error(_create(client, jpeg, key, seed="8"), 400)["code"] == "conflict"


def test_a_retry_waits_for_its_first_try(make_client, jpeg, monkeypatch):
    client = make_client(work=False, auth="off")
    store, begun = generate._store, threading.Event()

    def slow(*values):
        begun.set()
        time.sleep(0.5)
        return store(*values)

    monkeypatch.setattr(generate, "_store", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(_create, client, jpeg)
        assert begun.wait(20)
        second = _create(client, jpeg, {"x-stainless-retry-count": "1"})
        assert second.json()["id"] == first.result().json()["id"]
    assert client.app.state.service.same._lines == {}


def test_an_old_submission_is_no_first_try(make_client, jpeg, monkeypatch):
    client = make_client(work=False, auth="off")
    first = _create(client, jpeg).json()
    now = client.app.state.service.store.clock()
    monkeypatch.setattr(client.app.state.service.store, "clock", lambda: now + 1000)
    again = {"x-stainless-retry-count": "2"}
    assert _create(client, jpeg, again).json()["id"] != first["id"]


def test_an_alias_stands_for_a_model(make_client, jpeg):
    client = make_client(work=False, auth="off", aliases="sora-2=auto,sora-2-pro=nano")
    assert _create(client, jpeg, model="sora-2").json()["model"] == "auto"
    assert _create(client, jpeg, model="sora-2-pro").json()["model"] == "nano"
    assert _error(_create(client, jpeg, model="sora-3"), 400)["param"] == "model"


def test_lengths_are_those_that_are_made():
    assert [frames_for(text, None, NANO) for text in ("4", "6", "6.0", "6.125")] == [33, 49, 49, 49]
    assert frames_for("3", 16, NANO) == 49
    assert (seconds_text(49, 8), seconds_text(49, 10), seconds_text(81, 16)) == ("6", "4.8", "5")
    with pytest.raises(VideoError, match='cannot make 8 seconds; nearest: "5" and "6"'):
        frames_for("8", None, NANO)
    large = [load_models()["cogvideox-5b-i2v"]]
    with pytest.raises(VideoError, match='cannot make 4 seconds; nearest: "6"'):
        frames_for("4", None, large)
    assert frames_for("4", None, large + NANO) == 33


def test_sizes_are_those_that_are_made():
    assert size_for("720x480", NANO) == (720, 480)
    with pytest.raises(VideoError, match="nearest: 720x480 and 1920x1280"):
        size_for("720x1280", NANO)
    with pytest.raises(VideoError, match="nearest: 6480x4320"):
        size_for("99999x99999", NANO)


def _job(**values):
    from dataclasses import replace

    from src.jobs.model import Job

    plain = dict.fromkeys(Job.__dataclass_fields__)
    job = Job(**plain | {"id": "a" * 21, "attempts": 1, "state": State.PROCESSING,
                         "done": 0, "total": 0, "request": {}})  # fmt: skip
    return replace(job, **values)


def test_progress_never_goes_back():
    seen = Progresses()
    steps = [("load", 0, 0), ("denoise", 2, 4), ("load", 0, 0), ("deliver", 49, 49)]
    told = [seen.of(_job(stage=stage, done=done, total=total)) for stage, done, total in steps]
    assert told == [1, 48, 48, 99]
    assert seen.of(_job(state=State.PENDING)) == 99
    assert [seen.of(_job(state=State.FAILED)) for _ in range(2)] == [99, 99]
    assert seen.of(_job(state=State.PENDING, attempts=0)) == 0
    assert seen.of(_job(state=State.COMPLETED)) == 100


def test_pages_go_both_ways(make_client):
    client = make_client(work=False, auth="off")
    store = JobStore(client.app.state.service.database)
    made = sorted(store.submit(NewJob("generate", "open", {"prompt": "p"}))[0].id for _ in range(5))
    store.submit(NewJob("upscale", "open", {}))
    wanted = [f"video_{each}" for each in made]
    for order, ids in (("asc", wanted), ("desc", wanted[::-1])):
        page = client.get("/v1/videos", params={"order": order, "limit": 2}).json()
        rest = client.get(
            "/v1/videos", params={"order": order, "limit": 3, "after": page["last_id"]}
        ).json()
        assert [each["id"] for each in page["data"] + rest["data"]] == ids
        assert (page["has_more"], rest["has_more"], page["first_id"]) == (True, False, ids[0])
    gone = client.get("/v1/videos", params={"after": "video_" + "0" * 21})
    assert _error(gone, 400)["param"] == "after"
    assert _error(client.get("/v1/videos?limit=0"), 400)["param"] == "limit"


def test_states_have_their_words(make_client, jpeg):
    client = make_client(work=False, auth="off")
    video = _create(client, jpeg).json()
    place = f"/v1/videos/{video['id']}"
    assert int(client.get(place).headers["openai-poll-after-ms"]) >= 500
    error = _error(client.get(f"{place}/content"), 400)
    assert error["code"] == "video_not_ready"
    client.post(f"/jobs/{video['id'].removeprefix('video_')}/cancel")
    found = client.get(place)
    assert found.json()["status"] == "failed"
    assert found.json()["error"]["code"] == "cancelled"
    assert "openai-poll-after-ms" not in found.headers
    assert _error(client.get(f"{place}/content"), 400)["code"] == "video_failed"
    remixed = client.post(f"{place}/remix", json={"prompt": "q"})
    assert _error(remixed, 400)["code"] == "video_failed"


def test_what_is_not_offered_says_so(client, jpeg):
    for path in ("characters",):
        error = _error(client.post(f"/v1/videos/{path}", data={"prompt": "p"}), 400)
        assert error["code"] == "unsupported"
    for path in ("edits", "extensions"):
        sent = client.post(f"/v1/videos/{path}", data={"prompt": "p"}, files={"video": jpeg})
        assert _error(sent, 400)["code"] == "video_not_found"
        none = client.post(f"/v1/videos/{path}", data={"prompt": "p"})
        assert _error(none, 400)["code"] == "missing_required_parameter"


def _finished(client, jpeg, **values):
    video = _create(client, jpeg, **values).json()
    wait_until(lambda: client.get(f"/v1/videos/{video['id']}").json()["status"] == "completed")
    return video["id"]


def test_an_extension_is_one_job_that_reads_the_clip(make_client, jpeg):
    client = make_client(auth="off")
    source = _finished(client, jpeg, seconds="2", seed="7", num_inference_steps="4")
    body = {"prompt": "and on", "video": {"id": source}, "seconds": "4"}
    video = client.post("/v1/videos/extensions", json=body).json()
    made = client.get(f"/v1/videos/{source}").json()["frames"]
    assert (video["extended_from_video_id"], video["frames"]) == (source, made + 33 - 1)
    job = client.get(f"/jobs/{video['id'].removeprefix('video_')}").json()
    asked = job["request"]
    assert (asked["extend"], asked["num_frames"], asked["num_inference_steps"]) == (True, 33, 4)
    assert asked["of"] == source.removeprefix("video_") and "seed" not in asked
    again = client.post(
        "/v1/videos/extensions", json=body, headers={"x-stainless-retry-count": "1"}
    )
    assert again.json()["id"] == video["id"]
    other = client.post("/v1/videos/extensions", json=body)
    assert other.json()["id"] != video["id"]


def test_a_draft_is_not_gone_on_with(make_client, jpeg):
    client = make_client(auth="off")
    source = _finished(client, jpeg, draft="true")
    body = {"prompt": "and on", "video": {"id": source}}
    error = _error(client.post("/v1/videos/extensions", json=body), 400)
    assert error["param"] == "video" and "make its full clip first" in error["message"]


def test_an_extension_by_key_is_made_once_and_other_wishes_are_refused(make_client, jpeg):
    client = make_client(auth="off")
    source, head = _finished(client, jpeg), {"idempotency-key": "k1"}
    body = {"prompt": "and on", "video": {"id": source}}
    ids = {client.post("/v1/videos/extensions", json=body, headers=head).json()["id"]
           for _ in range(2)}  # fmt: skip
    assert len(ids) == 1
    other = client.post("/v1/videos/extensions", json=body | {"prompt": "q"}, headers=head)
    assert _error(other, 400)["code"] == "conflict"
    assert (
        _error(client.post("/v1/videos/extensions", json={"video": {"id": source}}), 400)["param"]
        == "prompt"
    )


def test_a_clip_that_is_being_gone_on_with_is_not_deleted_and_a_gone_one_is_told(make_client, jpeg):
    client = make_client(auth="off")
    source = _finished(client, jpeg)
    slow = client.post(
        "/v1/videos/extensions", json={"prompt": "and on", "video": {"id": source}}
    ).json()
    wait_until(lambda: client.get(f"/v1/videos/{slow['id']}").json()["status"] == "completed")
    assert client.delete(f"/v1/videos/{source}").json()["deleted"]
    gone = client.post(f"/v1/videos/{slow['id']}/remix", json={"prompt": "q"})
    assert _error(gone, 400)["code"] == "video_gone"


def test_the_description_is_served(client):
    document = client.get("/v1/openapi.json").json()
    assert "/v1/videos/{video_id}/content" in document["paths"]
    assert "/v1/videos" not in client.get("/openapi.json").json()["paths"]
