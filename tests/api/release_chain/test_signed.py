"""What is served of a signed clip once it is out: the approved picture, whose record tells of the
release.
"""

import hashlib
import io

from src.artifacts.memory import MemoryStore
from src.core.addresses import RELEASES
from src.core.paths import home
from src.database.backup import back_up, restore
from src.database.database import Database
from src.journal.checking import entries, read_entry
from src.trust.claim import PUBLISHED, RELEASE
from src.trust.settings import CERTIFICATE, KEY, SIGNING, anchors
from src.trust.verdict import verify_signature
from tests.api.release_chain.kit import (
    draft,
    dress,
    let_out,
    look,
    media,
    record,
    same,
    sent,
)
from tests.api.release_kit import do
from tests.trust.kit import flipped, signed


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
