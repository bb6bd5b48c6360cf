"""Of a clip that is made of another one: its makers count for four eyes, its label is known."""

import json
import re

import pytest

from src.accounts.rights import Right, Role
from src.api.derived import labelled_copy_job
from src.jobs.leases import LeaseStore
from src.jobs.model import PARENT, NewJob
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.api.conftest import log_in
from tests.api.release_kit import do


@pytest.fixture
def house(make_client):
    """Approval and keys; nothing is made before `work` is called."""
    client, heads = make_client(work=False, approval="on"), {}
    accounts = client.app.state.service.accounts
    client.secrets = {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (Right.APPROVE,), "Anna"), ("otto", Role.SUBMIT, (), "Otto"),
        ("chief", Role.READ, (Right.APPROVE,), "Chief"),
        ("anna2", Role.READ, (Right.APPROVE,), "Anna"),
    ]:  # fmt: skip
        secret, _ = accounts.create(
            name, role, 1000, 100_000, desk="sports", rights=rights, person=person
        )
        heads[name], client.secrets[name] = {"Authorization": f"Bearer {secret}"}, secret
    return client, heads


@pytest.fixture(scope="module")
def footage(tmp_path_factory, ffmpeg):
    """Two videos of different bytes."""
    folder = tmp_path_factory.mktemp("footage")
    for name in ("first", "larger"):
        size = {"first": "64x48", "larger": "128x96"}[name]
        ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=8:duration=1", folder / f"{name}.mp4"
        )
    return folder


def work(client, clip):
    service = client.app.state.service
    leases = LeaseStore(service.database)
    Worker(leases, FakeRunner(clip=clip), service.files, "host/fake", once=True).run()


def first_clip(house, jpeg, clip, **asked):
    client, heads = house
    sent = client.post(
        "/generate-video", headers={**heads["anna"], "Prefer": "respond-async"},
        files={"image": ("a.jpg", jpeg)}, data={"prompt": "pan left"} | asked,
    )  # fmt: skip
    assert sent.status_code == 202, sent.text
    work(client, clip)
    return sent.json()["id"]


def uploaded(house, data, who="otto"):
    client, heads = house
    sent = client.post(
        "/api/upload", headers=heads[who], files={"video": ("clip.mp4", data, "video/mp4")},
        data={"settings": json.dumps({"quality": "fast"})},
    )  # fmt: skip
    assert sent.status_code == 202, sent.text
    return sent.json()["taskId"]


def submitted(house, job, who="otto", **more):
    client, heads = house
    made = client.post("/releases", headers=heads[who], json={"job": job} | more)
    assert made.status_code == 201, made.text
    assert do(house, made.json()["id"], "submit", who).status_code == 200
    return made.json()["id"]


@pytest.mark.parametrize("deleted", [False, True])
def test_the_maker_of_a_source_approves_no_enlargement_of_it(house, jpeg, footage, deleted):
    client, heads = house
    first = first_clip(house, jpeg, footage / "first.mp4")
    task = uploaded(house, (footage / "first.mp4").read_bytes())
    work(client, footage / "larger.mp4")
    again = uploaded(house, (footage / "larger.mp4").read_bytes())  # an enlargement of that one
    work(client, footage / "larger.mp4")
    if deleted:
        assert client.delete(f"/jobs/{first}", headers=heads["anna"]).status_code == 204
    for job in (task, again):
        release = submitted(house, job)
        for who in ("anna", "anna2"):
            refused = do(house, release, "approve", who)
            assert refused.status_code == 403 and "one that it is made of" in refused.text
        assert do(house, release, "approve", "chief").status_code == 200


def test_what_is_uploaded_from_elsewhere_has_no_other_maker(house, jpeg, footage):
    client, _ = house
    first_clip(house, jpeg, footage / "first.mp4")
    job = uploaded(house, (footage / "larger.mp4").read_bytes())
    work(client, footage / "larger.mp4")
    assert client.app.state.service.store.get(job).makers == []
    assert do(house, submitted(house, job), "approve", "anna").status_code == 200


def test_a_labelled_clip_that_was_enlarged_is_labelled_once(house, jpeg, footage):
    client, heads = house
    first = first_clip(house, jpeg, footage / "first.mp4", label="true")
    log_in(client, client.secrets["anna"])
    token = csrf(client, f"/clips/{first}")
    for job in (first, larger_of(client, first, token, footage)):
        page = client.get(f"/clips/{job}").text
        assert "Make a labelled copy" not in page
    service = client.app.state.service
    larger = service.store.get(larger_of(client, first, token, footage))
    account = service.account_of(client.secrets["anna"])
    assert larger.labelled and labelled_copy_job(service, account, larger).id == larger.id
    made = client.post("/releases", headers=heads["anna"], json={"job": larger.id, "label": True})
    assert (made.json()["job"], made.json()["labelled"]) == (larger.id, True)


def test_a_clip_without_the_label_gets_it_also_once_enlarged(house, jpeg, footage):
    client, heads = house
    first = first_clip(house, jpeg, footage / "first.mp4")
    log_in(client, client.secrets["anna"])
    larger = larger_of(client, first, csrf(client, f"/clips/{first}"), footage)
    assert "Make a labelled copy" in client.get(f"/clips/{larger}").text
    made = client.post("/releases", headers=heads["anna"], json={"job": larger, "label": True})
    assert made.json()["job"] != larger and made.json()["labelled"] is True


def test_a_draft_and_what_is_made_of_it_are_not_let_out_but_its_full_clip_is(house, jpeg, footage):
    client, heads = house
    quick = first_clip(house, jpeg, footage / "first.mp4", draft="true")
    log_in(client, client.secrets["anna"])
    larger = larger_of(client, quick, csrf(client, f"/clips/{quick}"), footage)
    task = uploaded(house, (footage / "first.mp4").read_bytes(), "anna")
    work(client, footage / "larger.mp4")
    for job in (quick, larger):
        assert "Ask for approval" not in client.get(f"/clips/{job}").text
    before = len(client.app.state.service.store.page())
    for job in (quick, larger, task):
        refuse(house, job)
    assert len(client.app.state.service.store.page()) == before, "no labelled copy was begun"
    whole = client.post(f"/jobs/{quick}/full", headers=heads["anna"]).json()["id"]
    work(client, footage / "first.mp4")
    assert "Ask for approval" in client.get(f"/clips/{whole}").text
    assert submitted(house, whole, "anna")


def refuse(house, job):
    client, heads = house
    for label in (True, False):
        wanted = {"job": job, "label": label}
        refused = client.post("/releases", headers=heads["anna"], json=wanted)
        assert refused.status_code == 409 and f"the clip of job {job} is a draft" in refused.text


def test_what_is_made_of_a_draft_is_known_once_that_is_deleted(house, jpeg, footage):
    client, heads = house
    quick = first_clip(house, jpeg, footage / "first.mp4", draft="true")
    log_in(client, client.secrets["anna"])
    larger = larger_of(client, quick, csrf(client, f"/clips/{quick}"), footage)
    assert client.delete(f"/jobs/{quick}", headers=heads["anna"]).status_code == 204
    refuse(house, larger)


def test_a_drafts_release_that_an_earlier_version_began_ends_without_it(
    house, jpeg, footage, monkeypatch
):
    quick = first_clip(house, jpeg, footage / "first.mp4", draft="true")
    with monkeypatch.context() as earlier:
        earlier.setattr("src.api.releases.check_no_draft", lambda job: None)
        earlier.setattr("src.api.releasing.check_no_draft", lambda job: None)
        release = submitted(house, quick, "anna")
    refused = do(house, release, "approve", "chief")
    assert refused.status_code == 409 and "is a draft" in refused.text
    assert do(house, release, "reject", "chief", note="only a draft").status_code == 200


def csrf(client, url):
    return re.search(r'name="csrf" value="([^"]+)"', client.get(url).text)[1]


def larger_of(client, job, token, footage):
    """The clip's enlargement by the page's button."""
    answer = client.post(f"/clips/{job}/upscale", data={"csrf": token})
    assert answer.status_code == 303, answer.text
    work(client, footage / "larger.mp4")
    store = client.app.state.service.store
    return next(each.id for each in store.page() if each.request.get(PARENT) == job
                and each.kind == "upscale")  # fmt: skip


@pytest.mark.parametrize(("before", "asked", "whole"), [
    (True, True, True), (True, False, False), (False, True, False), (False, False, False),
])  # fmt: skip
def test_a_clip_that_goes_on_is_labelled_where_both_parts_are(make_client, before, asked, whole):
    store = make_client(work=False, auth="off").app.state.service.store
    first, _ = store.submit(NewJob("generate", "anna", {"prompt": "p", "label": before}))
    request = {"prompt": "p", "label": asked, "extend": True, PARENT: first.id}
    longer, _ = store.submit(NewJob("generate", "otto", request))
    assert (longer.labelled, longer.makers) == (whole, ["anna"])
    assert store.get(longer.id) == longer
    third, _ = store.submit(NewJob("upscale", "eve", {"input": "x", PARENT: longer.id}))
    assert (third.labelled, third.makers) == (whole, ["anna", "otto"])
