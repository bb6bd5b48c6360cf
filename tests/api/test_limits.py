"""Shares of the queue, the right to breaking news, costs; retries that count against nothing."""

import threading

import pytest

from src.accounts.rights import Role
from src.jobs.model import NewJob, State
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}


def _post(client, jpeg, head, **fields):
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    return client.post(
        "/generate-video", data={"prompt": "p"} | fields, files=files, headers=head | NOW
    )


def _key(client, name="k", role=Role.SUBMIT, per_minute=1000, **values):
    return {
        "X-API-Key": client.app.state.service.accounts.create(
            name, role, per_minute, 10_000, **values
        )[0]
    }


def test_a_key_has_its_share_of_the_queue_and_no_more(make_client, jpeg):
    client = make_client(work=False, max_queue=12, share=0.25)
    flooding, other = _key(client, "flooding"), _key(client, "other")
    assert [_post(client, jpeg, flooding).status_code for _ in range(4)] == [202, 202, 202, 429]
    answer = _post(client, jpeg, flooding)
    assert (answer.headers["retry-after"], "its share" in answer.json()["detail"]) == ("30", True)
    assert _post(client, jpeg, other).status_code == 202


def test_a_part_of_the_queue_is_kept_for_breaking_news(make_client, jpeg):
    client = make_client(work=False, max_queue=10, share=1.0)
    plain, urgent = _key(client, "plain"), _key(client, "urgent", breaking=True)
    assert [_post(client, jpeg, plain).status_code for _ in range(10)] == [202] * 9 + [429]
    assert _post(client, jpeg, urgent, priority="urgent").status_code == 429
    assert _post(client, jpeg, urgent, priority="breaking").status_code == 202
    assert _post(client, jpeg, urgent, priority="breaking").status_code == 429


def test_breaking_news_is_a_right_of_its_own(make_client, jpeg):
    client = make_client(work=False)
    for right, statuses in ((_key(client), (202, 403)), (_key(client, breaking=True), (202, 202)),
                            (_key(client, role=Role.ADMIN), (202, 202))):  # fmt: skip
        assert (
            tuple(
                _post(client, jpeg, right, priority=name).status_code
                for name in ("urgent", "breaking")
            )
            == statuses
        )
    assert "right" in _post(client, jpeg, _key(client), priority="breaking").json()["detail"]


def test_a_job_that_costs_too_much_is_refused(make_client, jpeg):
    client = make_client(work=False, auth="off", max_cost=200)
    assert _post(client, jpeg, {}).status_code == 202
    assert _post(client, jpeg, {}, upscale="2x:fast").status_code == 202
    assert client.get("/jobs").json()["jobs"][0]["request"]["upscale"] == "2x:fast"
    costs = [job.cost for job in client.app.state.service.store.page()]
    assert costs == [196.0, 49.0]
    answer = _post(client, jpeg, {}, upscale="4x:fast")
    assert (answer.status_code, "784 frames" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("limits", [{"max_queue": 1}, {"min_free": 10**18}, {"max_cost": 1}])
def test_a_retry_is_answered_before_limits_are_counted(make_client, jpeg, limits):
    client = make_client(work=False, auth="off")
    head = {"Idempotency-Key": "desk-1"}
    first = _post(client, jpeg, head).json()["id"]
    service = client.app.state.service
    service.limits.settings = service.settings.model_copy(update=limits)
    service.planning.most = limits.get("max_cost", 0)
    assert _post(client, jpeg, {}).status_code in (422, 429, 507)
    assert _post(client, jpeg, head).json()["id"] == first
    assert _post(client, jpeg, head, seed="7").status_code == 409
    assert _post(client, jpeg + b"x", head).status_code == 409


def test_a_retry_counts_against_no_rate(make_client, jpeg):
    client = make_client(work=False)
    head = _key(client, per_minute=1) | {"Idempotency-Key": "desk-1"}
    assert [_post(client, jpeg, head).status_code for _ in range(5)] == [202] * 5
    assert _post(client, jpeg, head | {"Idempotency-Key": "desk-2"}).status_code == 429


def test_breaking_news_beside_a_flood_starts_within_one_jobs_time(make_client):
    """Of the flood's jobs at most the one that runs comes before."""
    client = make_client(work=False)
    service = client.app.state.service
    for number in range(200):
        service.store.submit(
            NewJob("generate", "flooding", {"prompt": str(number), "fake_seconds": 0.05}, "g")
        )
    worker = Worker(service.leases, FakeRunner(), service.files, "host/fake", poll_s=0.02)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: service.store.page(state=State.COMPLETED, limit=3)[2:])
    breaking, _ = service.store.submit(
        NewJob("generate", "other", {"prompt": "now"}, "h", priority=2)
    )
    at = service.store.events(breaking.id)[0].id
    wait_until(lambda: service.store.get(breaking.id).state is State.COMPLETED)
    worker.stopping.set()
    thread.join()
    started = [
        event.job_id
        for event in service.store.events(None, at, 10_000)
        if event.data.get("state") == "PROCESSING"
    ]
    assert breaking.id in started[:2]  # the worker may be claiming while it is stored
