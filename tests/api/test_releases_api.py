"""Approval by the API: four eyes, bytes, embargo, corrections, and what is served meanwhile."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen

from src.accounts.rights import Right, Role
from src.api import approvals, pictures
from src.api.openai import content
from src.artifacts.memory import MemoryStore
from src.core.addresses import clip_key
from src.core.errors import BadInputError
from src.core.paths import home
from src.database.tables import notices, releases
from src.jobs.model import State
from src.journal.checking import check, entries, read
from src.notices.collecting import Collector
from src.notices.wording import worded
from src.releases.model import Wish
from tests.service.browser_kit import CLIP
from tests.waiting import wait_until


@pytest.fixture
def house(make_client):
    """A service with approval: its client, and headers by name."""
    client = make_client(approval="on")
    accounts, heads = client.app.state.service.accounts, {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (), "Anna"), ("other", Role.SUBMIT, (), "Otto"),
        ("chief", Role.READ, (Right.APPROVE,), "Chief"),
        ("deputy", Role.READ, (Right.APPROVE,), "Deputy"),
        ("cms", Role.READ, (Right.RELEASE,), ""), ("boss", Role.ADMIN, (Right.APPROVE,), "Boss"),
        ("anna2", Role.READ, (Right.APPROVE,), "Anna"), ("looks", Role.READ, (), ""),
    ]:  # fmt: skip
        secret, _ = accounts.create(name, role, 1000, 100_000, rights=rights, person=person)
        heads[name] = {"Authorization": f"Bearer {secret}"}
    return client, heads


@pytest.fixture
def clip(house, jpeg):
    """A finished job of anna's."""
    return make(*house, jpeg)


def make(client, heads, jpeg, who="anna"):
    sent = client.post(
        "/generate-video", headers={**heads[who], "Prefer": "respond-async"},
        files={"image": ("a.jpg", jpeg)}, data={"prompt": "pan left"},
    ).json()  # fmt: skip
    store = client.app.state.service.store
    wait_until(lambda: store.get(sent["id"]).state is State.COMPLETED)
    return client.get(f"/jobs/{sent['id']}", headers=heads[who]).json()


def do(house, release, action, who, **told):
    client, heads = house
    return client.post(f"/releases/{release}/{action}", headers=heads[who], json=told)


def draft(house, clip, **more):
    client, heads = house
    sent = client.post("/releases", headers=heads["anna"], json={"job": clip["id"]} | more)
    assert sent.status_code == 201, sent.text
    return sent.json()["id"]


def released(house, clip, embargo=None, **more):
    made = draft(house, clip, **more)
    assert do(house, made, "submit", "anna").status_code == 200
    assert do(house, made, "approve", "chief").status_code == 200
    told = {} if embargo is None else {"embargo": embargo.isoformat()}
    assert do(house, made, "release", "cms", **told).status_code == 200
    return made


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


def test_an_embargo_is_judged_when_it_is_served(house, clip, monkeypatch):
    client, heads = house
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    made = released(house, clip, soon)
    for who in ("anna", "chief"):
        answer = client.get(f"/releases/{made}/clip", headers=heads[who])
        assert answer.status_code == 409 and "embargo" in answer.text
        assert 7000 < int(answer.headers["retry-after"]) <= 7200
    assert client.get(f"/releases/{made}/clip", headers=heads["looks"]).status_code == 404
    own = client.get(clip["artifact_url"], headers=heads["anna"])
    assert own.headers["x-newsreel-release"] == "embargoed"
    from src.api import releases as module

    monkeypatch.setattr(module.time, "time", lambda: soon.timestamp() + 1)
    assert client.get(f"/releases/{made}/clip", headers=heads["looks"]).status_code == 200


@pytest.mark.parametrize("odd", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
                                 "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z"])  # fmt: skip
def test_an_embargo_that_no_calendar_holds_is_refused_at_each_door(house, clip, odd):
    client = house[0]
    made = draft(house, clip)
    assert do(house, made, "submit", "anna", embargo=odd).status_code == 422
    store = client.app.state.service.releasing.store
    release, anna = store.get(made), SimpleNamespace(id="x", person="", may=lambda right: True)
    for at in (datetime.fromisoformat(odd).timestamp(), float("nan"), float("inf"), 1e300):
        with pytest.raises(BadInputError, match="2000 to 2099"):
            store.act(release, Wish("submit", embargo=at), anna, {})
    with pytest.raises(BadInputError, match="2000 to 2099"):
        approvals._utc(odd)
    for edge in ("2000-01-01T00:00:00Z", "2099-12-31T23:59:59Z"):
        assert do(house, made, "submit", "anna", embargo=edge).json()["embargo"] == edge
        do(house, made, "recall", "anna")


@pytest.mark.parametrize("at", [253402350839.0, -62135650000.0, 1e300, -1e300])
def test_an_embargo_that_was_stored_before_is_shown_and_may_be_taken_back(house, clip, at):
    client, heads = house
    made = draft(house, clip)
    do(house, made, "submit", "anna")
    with client.app.state.service.database.write() as connection:
        connection.execute(releases.update().values(embargo=at))
    for who in ("anna", "boss", "chief"):
        shown = client.get("/releases", headers=heads[who]).json()["releases"]
        assert shown[0]["embargo"][:4] in ("9999", "1900")
    assert do(house, made, "recall", "anna").json()["embargo"] is None


def test_what_was_approved_is_not_let_out_earlier(house, clip):
    made, late = draft(house, clip), "2099-01-02T00:00:00Z"
    assert do(house, made, "submit", "anna", embargo=late).json()["embargo"] == late
    do(house, made, "approve", "chief")
    early = do(house, made, "release", "cms", embargo="2001-01-01T00:00:00Z")
    assert early.status_code == 409 and "later" in early.json()["detail"]
    assert do(house, made, "recall", "anna").json()["embargo"] is None, "recall clears it"
    assert do(house, made, "submit", "anna", embargo=late).json()["embargo"] == late
    do(house, made, "recall", "anna")
    assert do(house, made, "submit", "anna").json()["embargo"] is None, "none is none"
    do(house, made, "recall", "anna"), do(house, made, "submit", "anna", embargo=late)
    do(house, made, "approve", "chief")
    later = do(house, made, "release", "cms", embargo="2099-01-03T00:00:00Z")
    assert (later.json()["state"], later.json()["embargo"]) == ("released", "2099-01-03T00:00:00Z")


def test_what_was_approved_keeps_its_embargo(house, clip):
    made, late = draft(house, clip), "2099-01-02T00:00:00Z"
    do(house, made, "submit", "anna", embargo=late), do(house, made, "approve", "chief")
    assert do(house, made, "release", "cms", embargo=None).json()["embargo"] == late


def test_what_is_withdrawn_is_gone_and_says_why(house, clip, jpeg):
    client, heads = house
    made = released(house, clip)
    assert do(house, made, "withdraw", "anna", note="x").status_code == 403
    do(house, made, "withdraw", "cms", note="wrong place")
    gone = client.get(f"/releases/{made}/clip", headers=heads["looks"])
    assert gone.status_code == 410 and "wrong place" in gone.json()["detail"]
    assert gone.json()["successor"] is None
    after = released(house, make(*house, jpeg), supersedes=made)
    gone = client.get(f"/releases/{made}/clip", headers=heads["looks"])
    assert gone.json()["successor"] == f"/releases/{after}/clip"
    assert f"</releases/{after}/clip>" in gone.headers["link"]


def test_a_correction_takes_the_place_of_what_it_corrects(house, clip, jpeg):
    client, heads = house
    old = released(house, clip)
    second, third = make(*house, jpeg), make(*house, jpeg)
    one, two = draft(house, second, supersedes=old), draft(house, third, supersedes=old)
    for made in (one, two):
        do(house, made, "submit", "anna"), do(house, made, "approve", "chief")
    assert client.get(f"/releases/{old}/clip", headers=heads["looks"]).status_code == 200
    assert do(house, one, "release", "cms").status_code == 200
    gone = client.get(f"/releases/{old}/clip", headers=heads["looks"])
    assert (gone.status_code, gone.json()["state"]) == (410, "superseded")
    assert gone.json()["successor"] == f"/releases/{one}/clip"
    assert do(house, two, "release", "cms").status_code == 409, "it was corrected already"
    assert client.get(f"/releases/{two}", headers=heads["anna"]).json()["state"] == "approved"


def later(house, monkeypatch, at):
    """The service's clock, from now on."""
    from src.api import releases as module

    monkeypatch.setattr(module.time, "time", lambda: at)
    service = house[0].app.state.service
    service.releasing.store.clock = service.store.clock = module.time.time


def test_a_correction_under_embargo_leaves_what_is_out_until_then(
    house, clip, jpeg, monkeypatch
):  # fmt: skip
    client, heads = house
    old, second = released(house, clip), make(*house, jpeg)
    soon = datetime.now(UTC) + timedelta(hours=2)
    new = released(house, second, soon, supersedes=old)
    url = f"/releases/{old}"
    assert client.get(f"{url}/clip", headers=heads["looks"]).status_code == 200
    assert client.get(clip["artifact_url"], headers=heads["anna"]).status_code == 200
    for who in ("anna", "looks", "cms"):
        answer = client.get(url, headers=heads[who])
        assert answer.json()["state"] == "released" and new not in answer.text
        assert answer.json()["ended_at"] is None
    for state, ids in (("released", {old, new}), ("superseded", set())):
        page = client.get(f"/releases?state={state}", headers=heads["anna"]).json()["releases"]
        assert {each["id"] for each in page} == ids
    assert client.delete(f"/jobs/{clip['id']}", headers=heads["anna"]).status_code == 409
    later(house, monkeypatch, soon.timestamp() + 1)
    gone = client.get(f"{url}/clip", headers=heads["looks"])
    assert (gone.status_code, gone.json()["state"]) == (410, "superseded")
    assert gone.json()["successor"] == f"/releases/{new}/clip"
    assert client.get(f"/releases/{new}/clip", headers=heads["looks"]).status_code == 200
    assert client.get(url, headers=heads["looks"]).json()["successor"] == new
    page = client.get("/releases?state=superseded", headers=heads["anna"]).json()["releases"]
    assert [each["id"] for each in page] == [old]
    mark = client.get(clip["artifact_url"], headers=heads["anna"]).headers
    assert mark["x-newsreel-release"] == "superseded"
    assert draft(house, clip) != old, "its clip may be released anew"
    assert client.delete(f"/jobs/{clip['id']}", headers=heads["anna"]).status_code == 204


def test_a_correction_that_is_withdrawn_under_embargo_took_nothings_place(
    house, clip, jpeg, monkeypatch
):  # fmt: skip
    client, heads = house
    old, second = released(house, clip), make(*house, jpeg)
    soon = datetime.now(UTC) + timedelta(hours=2)
    new = released(house, second, soon, supersedes=old)
    assert do(house, new, "withdraw", "cms", note="not needed").status_code == 200
    later(house, monkeypatch, soon.timestamp() + 1)
    assert client.get(f"/releases/{old}/clip", headers=heads["looks"]).status_code == 200
    assert client.get(f"/releases/{old}", headers=heads["anna"]).json()["successor"] is None
    assert client.get(f"/releases/{new}", headers=heads["looks"]).status_code == 404


def test_what_is_withdrawn_tells_no_correction_that_is_under_embargo(house, clip, jpeg):
    client, heads = house
    old, second = released(house, clip), make(*house, jpeg)
    new = released(house, second, datetime.now(UTC) + timedelta(hours=2), supersedes=old)
    assert do(house, old, "withdraw", "cms", note="wrong place").status_code == 200
    gone = client.get(f"/releases/{old}/clip", headers=heads["looks"])
    assert (gone.status_code, gone.json()["state"]) == (410, "withdrawn")
    assert gone.json()["successor"] is None and new not in gone.text + str(gone.headers)


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
        told = [read(each) for each in entries(database)]
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
    told = [read(each) for each in entries(database)]
    actions = [each["action"] for each in told if not each["action"].startswith("key.")]
    assert actions == ["settings.change", "job.submit", "release.create", "release.submit",
                       "release.approve", "release.release"]  # fmt: skip
    assert check(database).problems == []
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
