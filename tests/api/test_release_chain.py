"""What is served of a signed clip once it is out: the approved picture, whose record tells of the
release; and releases of copies with the visible label, which are what is approved.
"""

import hashlib
import io
import json

import numpy as np
import pytest

from src.artifacts.memory import MemoryStore
from src.core.addresses import RELEASES
from src.core.paths import home
from src.database.backup import back_up, restore
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import State
from src.journal.checking import check_log, entries, read_entry
from src.media.reader import VideoReader
from src.trust.claim import PUBLISHED, RELEASE
from src.trust.settings import CERTIFICATE, KEY, SIGNING, anchors
from src.trust.verdict import verify_signature
from src.worker.engine_runner import EngineRunner
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.api.conftest import log_in
from tests.api.release_kit import do
from tests.trust.kit import boxes, flipped, need_packages, signed


@pytest.fixture(autouse=True)
def _packages():
    need_packages()


@pytest.fixture(scope="module")
def plain_clip(tmp_path_factory, ffmpeg):
    path = tmp_path_factory.mktemp("plain") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=8:duration=1", path)
    return path


@pytest.fixture
def house(make_client, plain_clip, photograph, tmp_path):
    """Approval, and jobs whose clips are signed; nothing is made before `work` is called."""
    client = make_client(work=False, approval="on")
    return dress(client, signed(plain_clip, tmp_path / "signed.mp4", photograph))


def dress(client, clip):
    from src.accounts.rights import Right, Role

    accounts, heads = client.app.state.service.accounts, {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (), "Anna"), ("boss", Role.ADMIN, (), "Boss"),
        ("chief", Role.READ, (Right.APPROVE,), "Chief"), ("cms", Role.READ, (Right.RELEASE,), ""),
    ]:  # fmt: skip
        secret, _ = accounts.create(name, role, 1000, 100_000, rights=rights, person=person)
        heads[name] = {"Authorization": f"Bearer {secret}"}
    client.clip = clip
    return client, heads


def work(client, runner=None):
    """Make everything that waits."""
    service = client.app.state.service
    leases = LeaseStore(service.database)
    runner = runner or FakeRunner(clip=client.clip)
    Worker(leases, runner, service.files, "host/fake", once=True).run()


def ask(house, jpeg, **more):
    """A job of Anna's that waits."""
    client, heads = house
    return client.post(
        "/generate-video", headers={**heads["anna"], "Prefer": "respond-async"} | more,
        files={"image": ("a.jpg", jpeg)}, data={"prompt": "pan left"},
    )  # fmt: skip


def sent(house, jpeg):
    """A job of hers that is done."""
    client, heads = house
    asked = ask(house, jpeg).json()
    work(client)
    return client.get(f"/jobs/{asked['id']}", headers=heads["anna"]).json()


@pytest.fixture
def clip(house, jpeg):
    return sent(house, jpeg)


def draft(house, clip, who="anna", **more):
    client, heads = house
    sent = client.post("/releases", headers=heads[who], json={"job": clip["id"]} | more)
    assert sent.status_code == 201, sent.text
    return sent.json()


def let_out(house, release):
    for action, who in (("submit", "anna"), ("approve", "chief"), ("release", "cms")):
        done = do(house, release["id"], action, who)
        assert done.status_code == 200, done.text
    return done.json()


def look(house, url, target, who="anna"):
    client, heads = house
    answer = client.get(url, headers=heads[who])
    assert answer.status_code == 200, answer.text
    target.write_bytes(answer.content)
    return target


def frames(path):
    with VideoReader(path) as reader:
        return [frame.array for frame in reader]


def record(path):
    import c2pa

    told = json.loads(c2pa.Reader(str(path)).json())
    active = told["manifests"][told["active_manifest"]]
    return told, {each["label"]: each["data"] for each in active["assertions"]}


def media(path):
    """What the boxes of picture and sound hold."""
    data = path.read_bytes()
    return [data[begin : begin + size] for kind, begin, size in boxes(data) if kind == "mdat"]


def same(first, second):
    return all(np.array_equal(*pair) for pair in zip(frames(first), frames(second), strict=True))


def test_a_release_is_added_to_the_record_and_nothing_else(house, clip, tmp_path):
    out = let_out(house, draft(house, clip))
    served = look(house, out["clip_url"], tmp_path / "served.mp4")
    approved = look(house, clip["artifact_url"], tmp_path / "approved.mp4")
    assert out["sha256"] == hashlib.sha256(approved.read_bytes()).hexdigest()
    assert out["served_sha256"] == hashlib.sha256(served.read_bytes()).hexdigest() != out["sha256"]
    assert same(served, approved) and media(served) == media(approved)
    told, active = record(served)
    actions = [each["action"] for each in active["c2pa.actions.v2"]["actions"]]
    assert actions == ["c2pa.opened", PUBLISHED] and len(told["manifests"]) == 2
    assert active[RELEASE] == {"release": out["id"], "approved_sha256": out["sha256"]}
    layer = verify_signature(served, anchors())["layers"]["c2pa"]
    assert (layer["state"], layer["source_type"]) == ("trusted", "trainedAlgorithmicMedia")
    assert layer["generation"] == {"seed": "7"} and layer["ingredients"] == ("photograph.png",)
    assert layer["released"] == active["c2pa.actions.v2"]["actions"][1]["when"]
    assert f"released at {layer['released']}" in layer["sentence"]
    assert verify_signature(approved, anchors())["layers"]["c2pa"]["released"] == ""
    (entry,) = [
        each for each in map(read_entry, entries(house[0].app.state.service.database))
        if each["action"] == "release.release"
    ]  # fmt: skip
    assert entry["data"]["sha256"] == out["sha256"]
    assert entry["data"]["served_sha256"] == out["served_sha256"]


def test_a_flipped_byte_of_what_is_served_is_found_and_not_served(house, clip, tmp_path):
    out = let_out(house, draft(house, clip))
    served = look(house, out["clip_url"], tmp_path / "served.mp4")
    data = served.read_bytes()
    for place in (data.index(b"mdat") + 100, data.index(b"moov") + 60):
        served.write_bytes(flipped(data, place))
        assert verify_signature(served, anchors())["changed"]
    (key,) = house[0].app.state.service.files.list(RELEASES)
    (home() / key).write_bytes(flipped(data, data.index(b"mdat") + 100))
    client, heads = house
    assert client.get(out["clip_url"], headers=heads["anna"]).status_code == 409


def test_what_cannot_be_signed_is_not_let_out(house, clip, monkeypatch, tmp_path):
    made = draft(house, clip)
    for action, who in (("submit", "anna"), ("approve", "chief")):
        assert do(house, made["id"], action, who).status_code == 200
    monkeypatch.setenv(KEY, str(tmp_path / "gone.key"))
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "gone.pem"))
    refused = do(house, made["id"], "release", "cms")
    assert refused.status_code == 503 and "gone.key" in refused.text
    client, heads = house
    assert client.get(f"/releases/{made['id']}", headers=heads["anna"]).json()["state"] == (
        "approved"
    )
    assert list(client.app.state.service.files.list(RELEASES)) == []


def test_where_nothing_is_signed_the_approved_file_is_served(house, clip, monkeypatch):
    monkeypatch.setenv(SIGNING, "off")
    out = let_out(house, draft(house, clip))
    assert out["served_sha256"] == out["sha256"]
    assert list(house[0].app.state.service.files.list(RELEASES)) == []


def test_a_file_that_is_swapped_after_its_hash_was_read_is_not_signed(
    house, clip, photograph, ffmpeg, tmp_path, monkeypatch
):
    """Both are signed clips of ours; only one of them was approved."""
    made = draft(house, clip)
    for action, who in (("submit", "anna"), ("approve", "chief")):
        assert do(house, made["id"], action, who).status_code == 200
    ffmpeg("-f", "lavfi", "-i", "color=red:size=128x96:rate=8:duration=1", tmp_path / "red.mp4")
    other = signed(tmp_path / "red.mp4", tmp_path / "other.mp4", photograph).read_bytes()
    releasing = house[0].app.state.service.releasing
    key, of = releasing.store.get(made["id"]).key, releasing.digests.of

    def swapped_then(*clip):
        told = of(*clip)
        releasing.files.put(key, io.BytesIO(other))
        return told

    monkeypatch.setattr(releasing.digests, "of", swapped_then)
    refused = do(house, made["id"], "release", "cms")
    assert refused.status_code == 409 and "bytes that were approved" in refused.text
    assert releasing.store.get(made["id"]).state == "approved"
    assert list(releasing.files.list(RELEASES)) == []


def test_of_two_who_release_one_wins_and_leaves_one_file(house, clip, monkeypatch):
    made = draft(house, clip)
    for action, who in (("submit", "anna"), ("approve", "chief")):
        do(house, made["id"], action, who)
    releasing = house[0].app.state.service.releasing
    now = releasing.store.get(made["id"])
    assert do(house, made["id"], "release", "cms").status_code == 200
    monkeypatch.setattr(
        "src.api.releases.find_release", lambda *_: now
    )  # as who looked at the same time
    assert do(house, made["id"], "release", "cms").status_code == 409
    assert len(list(releasing.files.list(RELEASES))) == 1


def test_what_was_served_goes_with_its_job(house, clip):
    out = let_out(house, draft(house, clip))
    client, heads = house
    assert client.delete(f"/jobs/{clip['id']}", headers=heads["anna"]).status_code == 409
    index = client.app.state.service.index
    (key,) = client.app.state.service.files.list(RELEASES)
    assert index.find(key)[0].release == "released" and index.find(key)[0].kind == "clip"
    do(house, out["id"], "withdraw", "cms", note="wrong street")
    assert index.find(key)[0].release == "withdrawn"
    assert client.delete(f"/jobs/{clip['id']}", headers=heads["anna"]).status_code == 204
    assert index.find(key) is None and list(client.app.state.service.files.list(RELEASES)) == []


def test_what_is_served_is_in_a_backup(house, clip, make_client, monkeypatch, tmp_path):
    out = let_out(house, draft(house, clip))
    client, heads = house
    back_up(client.app.state.service.database, home(), tmp_path / "backup")
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "other"))
    url = f"sqlite:///{tmp_path / 'other.db'}"
    restored = Database(url)
    restored.migrate()
    restore(tmp_path / "backup", restored, home())
    restored.engine.dispose()
    again = make_client(work=False, approval="on", database=url)
    served = look((again, heads), out["clip_url"], tmp_path / "served.mp4")
    assert hashlib.sha256(served.read_bytes()).hexdigest() == out["served_sha256"]


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


def test_a_store_that_keeps_no_files_serves_it_too(
    make_client, plain_clip, photograph, tmp_path, jpeg
):
    client = make_client(work=False, files=MemoryStore(), approval="on")
    house = dress(client, signed(plain_clip, tmp_path / "signed.mp4", photograph))
    clip = sent(house, jpeg)
    out = let_out(house, draft(house, clip))
    served = look(house, out["clip_url"], tmp_path / "served.mp4")
    assert hashlib.sha256(served.read_bytes()).hexdigest() == out["served_sha256"]
    assert verify_signature(served, anchors())["layers"]["c2pa"]["released"]
