"""Approval by the API: four eyes, bytes, and what is served and noted."""

import hashlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen

from src.accounts.rights import Right
from src.api import pictures
from src.api.openai import content
from src.artifacts.memory import MemoryStore
from src.core.addresses import clip_key
from src.core.errors import BadInputError
from src.core.paths import home
from src.database.tables import notices
from src.journal.checking import check_log, entries, read_entry
from src.notices.collecting import Collector
from src.notices.wording import worded
from tests.api.release_kit import do, draft, make, released
from tests.service.browser_kit import CLIP


def test_a_clip_goes_the_whole_way(house, clip):
    client, heads = house
    made = draft(house, clip)
    asked = do(house, made, "submit", "anna", note="for the evening").json()
    data = client.get(clip["artifact_url"], headers=heads["anna"]).content
    assert asked["state"] == "submitted" and asked["note"] == "for the evening"
    assert asked["sha256"] == hashlib.sha256(data).hexdigest() and asked["submitter"] == "anna"
    assert client.get(asked["clip_url"], headers=heads["anna"]).status_code == 409
    queue = client.get("/releases?state=submitted", headers=heads["chief"]).json()["releases"]
    assert [each["may"] for each in queue] == [["approve", "reject"]]
    told = {"revision": asked["revision"], "sha256": asked["sha256"], "note": "fine by me"}
    done = do(house, made, "approve", "chief", **told).json()
    assert (done["state"], done["approver"]) == ("approved", "chief")
    assert done["reason"] == "fine by me"
    assert do(house, made, "release", "cms").json()["state"] == "released"
    out = client.get(asked["clip_url"], headers=heads["looks"])
    assert (out.status_code, out.content) == (200, data)
    assert out.headers["etag"] == f'"{asked["sha256"]}"'
    again = client.get(
        asked["clip_url"], headers=heads["looks"] | {"If-None-Match": out.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize("who", ["anna", "anna2"])
def test_nobody_approves_what_is_their_own(house, clip, who):
    made = draft(house, clip)
    do(house, made, "submit", "anna")
    client = house[0]
    accounts = client.app.state.service.accounts
    if who == "anna":
        own = next(each for each in accounts.all() if each.name == "anna")
        accounts.grant(own.id, [*own.rights, Right.APPROVE], "Anna")
        client.app.state.service._known.clear()
    refused = do(house, made, "approve", who)
    assert refused.status_code == 403 and "somebody else" in refused.text
    assert do(house, made, "approve", "chief").status_code == 200


def test_an_admin_is_no_exception(house, clip):
    made = draft(house, clip)
    assert do(house, made, "submit", "boss").status_code == 200  # an admin may submit for others
    assert do(house, made, "approve", "boss").status_code == 403
    assert do(house, made, "approve", "chief").status_code == 200
    assert do(house, made, "release", "boss").status_code == 403, "admin is not release"


def test_a_services_key_approves_nothing(house, clip):
    made = draft(house, clip)
    do(house, made, "submit", "anna")
    service = house[0].app.state.service
    cms = next(each for each in service.accounts.all() if each.name == "cms")
    with service.database.write() as connection:  # no door gives this right without a person
        connection.exec_driver_sql(
            "UPDATE keys SET rights = 'approve read' WHERE id = ?", (cms.id,)
        )
    service._known.clear()
    refused = do(house, made, "approve", "cms")
    assert refused.status_code == 403 and "a person's key" in refused.text


def test_others_see_a_release_only_once_it_is_out(house, clip):
    client, heads = house
    made = draft(house, clip)
    assert client.get(f"/releases/{made}", headers=heads["looks"]).status_code == 404
    assert client.get(f"/releases/{made}/clip", headers=heads["looks"]).status_code == 404
    assert do(house, made, "submit", "other").status_code == 404
    do(house, made, "submit", "anna"), do(house, made, "approve", "chief")
    assert client.get(f"/releases/{made}/clip", headers=heads["looks"]).status_code == 404
    do(house, made, "release", "cms")
    assert client.get(f"/releases/{made}", headers=heads["looks"]).status_code == 200


def test_changed_bytes_are_neither_approved_nor_served(house, clip):
    client, heads = house
    made, path = draft(house, clip), home() / clip_key(clip["artifact"])
    sent, data = do(house, made, "submit", "anna").json(), path.read_bytes()
    assert do(house, made, "approve", "chief", sha256="0" * 64).status_code == 409
    path.chmod(0o644), path.write_bytes(data[:-1] + b"!")
    assert "bytes" in do(house, made, "approve", "chief").json()["detail"]
    path.write_bytes(data)
    do(house, made, "approve", "chief"), do(house, made, "release", "cms")
    assert client.get(sent["clip_url"], headers=heads["looks"]).status_code == 200
    path.write_bytes(data[:-1] + b"!")
    for url in (sent["clip_url"], sent["draft_url"]):
        assert client.get(url, headers=heads["anna"]).status_code == 409


def test_a_release_that_was_changed_meanwhile_is_looked_at_again(house, clip):
    made = draft(house, clip)
    old = do(house, made, "submit", "anna").json()["revision"]
    do(house, made, "recall", "anna"), do(house, made, "submit", "anna")
    late = do(house, made, "approve", "chief", revision=old)
    assert late.status_code == 409 and "changed since" in late.text
    assert do(house, made, "approve", "chief", revision=old + 2).status_code == 200
    assert do(house, made, "approve", "deputy").status_code == 409


def test_reasons_are_needed_and_told(house, clip):
    made = draft(house, clip)
    do(house, made, "submit", "anna")
    assert "a reason" in do(house, made, "reject", "chief").json()["detail"]
    done = do(house, made, "reject", "chief", note="the flag is wrong").json()
    assert (done["state"], done["reason"]) == ("rejected", "the flag is wrong")
    assert draft(house, clip) != made, "a rejected clip may be submitted anew"
    assert do(house, made, "approve", "chief").status_code == 409


def test_a_page_of_releases_reads_persons_once_and_not_every_key(house, clip, jpeg):
    client, heads = house
    for each in (clip, make(*house, jpeg), make(*house, jpeg)):
        do(house, draft(house, each), "submit", "anna")
    client.get("/releases", headers=heads["chief"])
    read = []
    engine = client.app.state.service.database.engine
    listen(engine, "before_cursor_execute", lambda c, k, sql, v, x, m: read.append((sql, v)))
    found = client.get("/releases?limit=200", headers=heads["chief"]).json()["releases"]
    assert [each["may"] for each in found] == [["approve", "reject"]] * 3
    persons = [values for sql, values in read if "keys.person" in sql and "keys.name" not in sql]
    assert [len(values) for values in persons] == [2], "anna's key and the chief's"
    assert sum("FROM keys" in sql for sql, _ in read) <= 3, "the caller, names, persons"


def test_erased_names_and_other_persons_do_not_open_four_eyes(house, clip):
    client, _ = house
    accounts = client.app.state.service.accounts
    own = next(each for each in accounts.all() if each.name == "anna")
    made = draft(house, clip)
    assert do(house, made, "submit", "anna").status_code == 200
    for other in ("Otto", ""):
        with pytest.raises(BadInputError, match="is under approval"):
            accounts.grant(own.id, own.rights, other)
    assert accounts.grant(own.id, own.rights) == "Anna"
    accounts.revoke(own.id), accounts.erase(own.id)
    assert next(each for each in accounts.all() if each.id == own.id).person == ""
    refused = do(house, made, "approve", "anna2")
    assert refused.status_code == 403 and "somebody else" in refused.text
    assert do(house, made, "approve", "chief").status_code == 200


@pytest.mark.parametrize("variant", ["thumbnail", "spritesheet"])
def test_looks_at_frames_of_what_is_not_out_are_in_the_audit_log(house, clip, variant):
    client, heads = house
    path = home() / clip_key(clip["artifact"])
    path.chmod(0o644), path.write_bytes(CLIP.read_bytes())
    url = f"/v1/videos/video_{clip['id']}/content?variant={variant}"
    database = client.app.state.service.database
    keys = {each.name: each.id for each in client.app.state.service.accounts.all()}

    def looks():
        told = [read_entry(each) for each in entries(database)]
        return [each["actor"] for each in told if each["action"] == "clip.download"]

    for who in ("anna", "anna", "boss"):
        assert client.get(url, headers=heads[who]).status_code == 200
    assert looks() == [keys["anna"], keys["boss"]], "once in ten minutes"
    released(house, clip)
    assert client.get(url, headers=heads["chief"]).status_code == 200
    assert looks() == [keys["anna"], keys["boss"]]


def test_frames_are_of_the_version_that_was_published():
    files = MemoryStore()
    for data in (b"first", b"second"):
        files.put("examples/a.mp4", io.BytesIO(data))
    first = str(int(files.look("examples/a.mp4").version) - 1)
    wall = SimpleNamespace(first_frame=Path.read_bytes, small_frame=Path.read_bytes)
    content._make(wall, files, ("examples/a.mp4", first), "previews/a.jpg", "thumbnail")
    pictures._make(wall, files, "examples/a.mp4", first, "previews/b.jpg")
    for key in ("previews/a.jpg", "previews/b.jpg"):
        with files.open(key) as made:
            assert made.read() == b"first"


def test_every_download_before_is_marked_and_kept_by_no_cache(house, clip):
    client, heads = house
    urls = [clip["artifact_url"], clip["picture_url"], f"/v1/videos/video_{clip['id']}/content"]
    for url in urls:
        got = client.get(url, headers=heads["anna"])
        if url == clip["picture_url"] and got.status_code == 404:
            continue  # the fake maker's clips have no frames
        assert got.headers["cache-control"] == "no-store", url
    got = client.get(clip["artifact_url"], headers=heads["anna"])
    assert got.headers["x-newsreel-release"] == "draft"
    assert f"DRAFT-{clip['artifact']}" in got.headers["content-disposition"]
    made = released(house, clip)
    got = client.get(clip["artifact_url"], headers=heads["anna"])
    assert got.headers["x-newsreel-release"] == "released"
    assert got.headers["cache-control"] == "private, no-cache"
    do(house, made, "withdraw", "cms", note="why")
    got = client.get(clip["artifact_url"], headers=heads["anna"])
    assert got.headers["cache-control"] == "no-store"
    assert "WITHDRAWN-" in got.headers["content-disposition"]


def test_nobody_deletes_what_is_under_approval_or_out(house, clip):
    client, heads = house
    service = client.app.state.service
    made, url = draft(house, clip), f"/jobs/{clip['id']}"
    for action, who in (("submit", "anna"), ("approve", "chief"), ("release", "cms")):
        do(house, made, action, who)
        refused = client.delete(url, headers=heads["anna"])
        assert refused.status_code == 409 and "first" in refused.text, action
        theirs = client.delete(f"/v1/videos/video_{clip['id']}", headers=heads["boss"])
        assert theirs.status_code == 400 and "first" in theirs.text  # their word for 409
        assert client.get(url, headers=heads["anna"]).status_code == 200
        assert service.store.finished_before(2e9) == [], "retention leaves it"
    do(house, made, "withdraw", "cms", note="why")
    assert service.store.finished_before(2e9) == [], "what was out once is kept by retention"
    assert client.delete(url, headers=heads["anna"]).status_code == 204
    assert client.get(f"/releases/{made}/clip", headers=heads["looks"]).status_code == 410


def test_without_approval_everything_is_as_before(make_client, jpeg):
    client = make_client(auth="off")
    job = make(client, {"all": {}}, jpeg, "all")
    got = client.get(job["artifact_url"])
    assert "x-newsreel-release" not in got.headers
    assert "content-disposition" not in got.headers
    refused = client.post("/releases", json={"job": job["id"]})
    assert refused.status_code == 409 and "NEWSREEL_APPROVAL" in refused.text
    assert client.get("/releases").json() == {"releases": [], "next": None}


def test_approval_without_keys_is_refused_at_the_start(make_client):
    with pytest.raises(BadInputError, match="needs NEWSREEL_AUTH=on"):
        make_client(auth="off", approval="on")


def test_odd_texts_and_times_are_sentences(house, clip):
    made = draft(house, clip)
    for told in ({"note": "a\0b"}, {"note": "x" * 2001}, {"embargo": "tomorrow"},
                 {"embargo": "2026-12-01T06:00:00"}, {"revision": 0}, {"other": 1}):  # fmt: skip
        assert do(house, made, "submit", "anna", **told).status_code == 422, told
    for told in ({"embargo": "2026-12-01T06:00:00Z"}, {"note": "why"}):
        assert do(house, made, "recall", "anna", **told).status_code == 422, "it would be lost"


def test_a_decision_that_cannot_be_noted_is_not_made(house, clip):
    client, heads = house
    made = draft(house, clip)
    with client.app.state.service.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    assert do(house, made, "submit", "anna").status_code == 503
    sent = client.post("/api/upload", headers=heads["anna"], files={"video": CLIP.read_bytes()})
    assert sent.status_code == 503 and "audit log" in sent.text, "a submission neither"
    assert client.get(f"/releases/{made}", headers=heads["anna"]).json()["state"] == "draft"
    assert client.get(clip["artifact_url"], headers=heads["anna"]).status_code == 503


def test_approvers_are_told_and_the_audit_log_has_all_of_it(house, clip):
    client, heads = house
    released(house, clip)
    client.get(clip["artifact_url"], headers=heads["anna"])
    database = client.app.state.service.database
    told = [read_entry(each) for each in entries(database)]
    actions = [each["action"] for each in told if not each["action"].startswith("key.")]
    assert actions == ["settings.change", "job.submit", "release.create", "release.submit",
                       "release.approve", "release.release"]  # fmt: skip
    assert check_log(database).problems == []
    names = {"anna", "Anna", "chief", "Chief", "pan left"}
    assert not any(name in each.text for each in entries(database) for name in names)
    events = client.app.state.service.store.events(clip["id"])
    states = [each.data["state"] for each in events if each.kind == "approval"]
    assert states == ["WAITING", "APPROVED", "RELEASED"]


def test_who_asked_hears_of_it(house, clip):
    client, _ = house
    notifying = client.app.state.service.notifying
    target = "https://hooks.example.org/x"
    own = next(e for e in client.app.state.service.accounts.all() if e.name == "anna")
    notifying.rules.add("", ["approval"], "webhook", target)
    notifying.rules.add(own.id, ["decided"], "email", "anna@example.org")
    released(house, clip)
    Collector(notifying.outbox, 0).collect()
    with client.app.state.service.database.read() as connection:
        rows = connection.execute(select(notices)).mappings().all()
    told = sorted((row["kind"], row["data"].get("state")) for row in rows)
    assert told == [("approval", "waiting"), ("decided", "approved"), ("decided", "released")]
    said = worded("x", "decided", 0.0, rows[-1]["data"], "https://news.example.org")
    assert said.subject.startswith("Clip ") and "pan left" in said.subject
    assert "/approvals/" in str(said.link)
