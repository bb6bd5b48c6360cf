"""Releases of copies with the visible label, which are what is approved."""

import hashlib

import numpy as np
import pytest

from src.jobs.model import State
from src.journal.checking import check_log, entries, read_entry
from src.trust.settings import anchors
from src.trust.verdict import verify_signature
from src.worker.engine_runner import EngineRunner
from tests.api.conftest import log_in
from tests.api.release_chain.kit import (
    ask,
    draft,
    dress,
    frames,
    let_out,
    look,
    record,
    same,
    sent,
    work,
)
from tests.api.release_kit import do
from tests.trust.kit import signed


def test_a_labelled_copy_is_what_is_looked_at_approved_and_served(house, clip, tmp_path):
    client, heads = house
    made = draft(house, clip, label=True)
    assert made["job"] != clip["id"] and made["labelled"] and made["draft_url"] is None
    waits = do(house, made["id"], "submit", "anna")
    assert waits.status_code == 409 and "is PENDING" in waits.text
    work(client, EngineRunner(client.app.state.service.files))
    ready = client.get(f"/releases/{made['id']}", headers=heads["anna"]).json()
    copy = look(house, ready["draft_url"], tmp_path / "copy.mp4")
    source = look(house, clip["artifact_url"], tmp_path / "source.mp4")
    out = let_out(house, made)
    assert out["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    served = look(house, out["clip_url"], tmp_path / "served.mp4")
    assert same(served, copy) and len(frames(copy)) == len(frames(source)) == 8
    first, labelled = frames(source)[0].astype(int), frames(served)[0].astype(int)
    corner = np.abs(first - labelled)[:24, 96:]
    assert corner.max() > 100 and np.abs(first - labelled)[48:].mean() < 4
    layer = verify_signature(served, anchors())["layers"]["c2pa"]
    assert (layer["state"], layer["source_type"]) == ("trusted", "trainedAlgorithmicMedia")
    assert layer["generation"]["label"] == "AI" and layer["released"]
    assert layer["generation"]["clip_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert len(record(served)[0]["manifests"]) == 3  # the clip's, the copy's, the release's
    database = client.app.state.service.database
    done = [each for each in map(read_entry, entries(database)) if each["subject"] == made["id"]]
    assert done[0]["data"]["labelled"] is True and not check_log(database).problems


def test_a_label_is_asked_for_once_and_drawn_once(house, clip):
    client, heads = house
    made = draft(house, clip, label=True)
    again = client.post("/releases", headers=heads["anna"], json={"job": clip["id"], "label": True})
    assert again.status_code == 409 and "has a release already" in again.text
    work(client)
    store = client.app.state.service.store
    copies = [job for job in store.page() if job.request.get("labelled_copy")]
    assert [job.id for job in copies] == [made["job"]]
    do(house, made["id"], "submit", "anna")
    do(house, made["id"], "reject", "chief", note="too dark")
    of_copy = draft(house, {"id": made["job"]}, label=True)
    assert of_copy["job"] == made["job"] and of_copy["draft_url"]


def test_a_copy_is_its_clips_owners_whoever_asks_for_it(house, clip):
    """Else the owner could approve what is hers, where an admin asked for the label."""
    made = draft(house, clip, "boss", label=True)
    store = house[0].app.state.service.store
    assert store.get(made["job"]).owner == store.get(clip["id"]).owner
    assert made["owner"] == "anna"


def test_a_copy_that_failed_is_made_again(house, clip):
    client, _ = house
    store = client.app.state.service.store
    made = draft(house, clip, label=True)
    store.cancel(made["job"])
    refused = do(house, made["id"], "submit", "anna")
    assert refused.status_code == 409 and "is CANCELLED" in refused.text
    store.retry(made["job"])
    work(client)
    assert store.get(made["job"]).state is State.COMPLETED
    assert do(house, made["id"], "submit", "anna").status_code == 200


def test_the_service_says_whether_releases_are_labelled(
    make_client, plain_clip, photograph, tmp_path, jpeg
):
    client = make_client(work=False, approval="on", release_label="on")
    house = dress(client, signed(plain_clip, tmp_path / "signed.mp4", photograph))
    clip = sent(house, jpeg)
    assert draft(house, clip)["labelled"]
    assert not draft(house, clip, label=False)["labelled"]


def test_the_page_makes_a_copy_first_and_asks_then(house, clip):
    client, heads = house
    log_in(client, heads["anna"]["Authorization"].split()[1])
    page = client.get(f"/clips/{clip['id']}").text
    assert "Make a labelled copy" in page
    token = page.split('name="csrf" value="')[1].split('"')[0]
    sent = client.post("/approvals", data={"job": clip["id"], "label": "on", "csrf": token})
    assert sent.status_code == 303
    waiting = client.get(sent.headers["location"])
    assert waiting.status_code == 200 and "The copy with the letters AI" in waiting.text
    work(client)
    ready = client.get(sent.headers["location"])
    assert "with the letters AI in the picture" in ready.text and "Ask for approval" in ready.text
    again = client.get(f"/clips/{clip['id']}").text
    assert "Enlarged twice" not in again and "Make a labelled copy" not in again
    assert "a copy with the letters AI</a>" in again


def test_the_button_goes_on_with_its_draft_and_makes_a_failed_copy_again(house, clip):
    client, heads = house
    log_in(client, heads["anna"]["Authorization"].split()[1])
    page = client.get(f"/clips/{clip['id']}").text
    token = page.split('name="csrf" value="')[1].split('"')[0]
    told = {"job": clip["id"], "label": "on", "csrf": token}
    first, twice = (client.post("/approvals", data=told) for _ in range(2))
    assert first.status_code == twice.status_code == 303
    assert first.headers["location"] == twice.headers["location"]
    store = client.app.state.service.store
    (copy,) = [job for job in store.page() if job.request.get("labelled_copy")]
    store.cancel(copy.id)
    assert "Make a labelled copy" in client.get(f"/clips/{clip['id']}").text
    third = client.post("/approvals", data=told)
    assert (third.status_code, third.headers["location"]) == (303, first.headers["location"])
    assert store.get(copy.id).state is State.PENDING
    work(client)
    assert "Ask for approval" in client.get(third.headers["location"]).text
    made = client.app.state.service.releasing.store.of_job(copy.id)
    assert do(house, made.id, "submit", "anna").status_code == 200
    assert client.post("/approvals", data=told).status_code == 409  # it is no draft any more


@pytest.mark.parametrize("label", [False, True])
def test_a_job_that_is_not_done_is_refused_alike_with_a_label_and_without(house, jpeg, label):
    client, heads = house
    told = {"job": ask(house, jpeg).json()["id"], "label": label}
    refused = client.post("/releases", headers=heads["anna"], json=told)
    assert refused.status_code == 409 and "is PENDING; only finished clips" in refused.text


def test_a_clients_key_takes_no_copys_place(house, clip, jpeg):
    store = house[0].app.state.service.store
    stranger = ask(house, jpeg, **{"Idempotency-Key": f"label {clip['id']}"}).json()
    copy = store.get(draft(house, clip, label=True)["job"])
    assert copy.id != stranger["id"] and copy.labelled
    for headers in ({"Idempotency-Key": copy.idempotency_key}, {"Idempotency-Key": "newsreel:x"}):
        refused = ask(house, jpeg, **headers)
        assert refused.status_code == 400 and "does not begin with 'newsreel:'" in refused.text
    assert len(store.page()) == 3
