"""Embargoes, corrections and withdrawals by the API: what is served when."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from src.api import approvals
from src.core.errors import BadInputError
from src.database.tables import releases
from src.releases.model import Wish
from tests.api.release_kit import do, draft, later, make, released


@pytest.fixture
def corrected(house, clip, jpeg):
    """A clip that is out, its correction that is under embargo, and when that ends."""
    old, second = released(house, clip), make(*house, jpeg)
    soon = datetime.now(UTC) + timedelta(hours=2)
    return old, released(house, second, soon, supersedes=old), soon


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


def test_a_correction_under_embargo_leaves_what_is_out_until_then(
    house, clip, corrected, monkeypatch
):  # fmt: skip
    client, heads = house
    old, new, soon = corrected
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
    house, corrected, monkeypatch
):  # fmt: skip
    client, heads = house
    old, new, soon = corrected
    assert do(house, new, "withdraw", "cms", note="not needed").status_code == 200
    later(house, monkeypatch, soon.timestamp() + 1)
    assert client.get(f"/releases/{old}/clip", headers=heads["looks"]).status_code == 200
    assert client.get(f"/releases/{old}", headers=heads["anna"]).json()["successor"] is None
    assert client.get(f"/releases/{new}", headers=heads["looks"]).status_code == 404


def test_what_is_withdrawn_tells_no_correction_that_is_under_embargo(house, corrected):
    client, heads = house
    old, new, _ = corrected
    assert do(house, old, "withdraw", "cms", note="wrong place").status_code == 200
    gone = client.get(f"/releases/{old}/clip", headers=heads["looks"])
    assert (gone.status_code, gone.json()["state"]) == (410, "withdrawn")
    assert gone.json()["successor"] is None and new not in gone.text + str(gone.headers)


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
