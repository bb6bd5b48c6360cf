"""PostgreSQL, a bucket and approval together: a clip that one machine makes is labelled, approved
by a second person, let out by a third, verified, and taken back.
"""

import hashlib
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Right, Role
from src.core.paths import REPOSITORY
from src.database.database import Database
from src.journal.checking import check_log, entries, read_entry
from src.trust.authority import make_authority
from src.trust.settings import ANCHORS, CERTIFICATE, KEY
from src.watermark.keys import KEY as MARK_KEY
from tests.database.postgres_kit import postgres_server
from tests.trust.kit import need_packages
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}


@pytest.fixture
def house(running, s3_url, home, tmp_path):
    """The API without workers, and a worker that shares nothing with it but database, bucket and
    keys: people by name, and a way to ask as each of them.
    """
    need_packages()
    folder = make_authority(tmp_path / "authority")
    (tmp_path / "marks").write_text("07" * 32 + "\n")
    with postgres_server() as server:
        shared = {
            "NEWSREEL_STORE": s3_url, "NEWSREEL_DATABASE": server.url, "NEWSREEL_AUTH": "on",
            "NEWSREEL_APPROVAL": "on", "NEWSREEL_WORKERS": "0", "NEWSREEL_MAKER": "engine",
            KEY: str(folder / "leaf.key"), CERTIFICATE: str(folder / "chain.pem"),
            ANCHORS: str(folder / "root.pem"), MARK_KEY: str(tmp_path / "marks"),
        }  # fmt: skip
        service = running(**shared).start()
        other = service.environment | {"NEWSREEL_HOME": str(tmp_path / "other-machine")}
        service.ready()
        worker = subprocess.Popen(
            [sys.executable, "-m", "src.worker", "--maker", "engine", "--device", "cpu"],
            cwd=REPOSITORY, env=other, stdout=service.log, stderr=service.log,
        )  # fmt: skip
        database = Database(server.url)
        try:
            yield SimpleNamespace(url=service.url, heads=_people(database), database=database)
        finally:
            worker.kill()
            worker.wait()
            service.stop()
            database.engine.dispose()


def _people(database):
    accounts, heads = Accounts(database), {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (), "Anna"), ("chief", Role.READ, (Right.APPROVE,), "Carl"),
        ("out", Role.READ, (Right.RELEASE,), ""), ("looks", Role.READ, (), ""),
    ]:  # fmt: skip
        secret, _ = accounts.create(name, role, 1000, 1000, rights=rights, person=person)
        heads[name] = {"Authorization": f"Bearer {secret}"}
    return heads


def ask(house, who, path, method="GET", expect=200, **told):
    headers = house.heads[who] | told.pop("headers", {})
    answer = httpx.request(
        method, house.url + path, headers=headers, timeout=60, follow_redirects=True, **told
    )
    assert answer.status_code == expect, answer.text
    return answer


def done(house, job):
    told = lambda: ask(house, "anna", f"/jobs/{job}").json()  # noqa: E731
    wait_until(lambda: told()["state"] in ("COMPLETED", "FAILED"), 240)
    assert told()["state"] == "COMPLETED", told()["error"]
    return told()


def step(house, release, action, who, **told):
    return ask(house, who, f"/releases/{release}/{action}", "POST", json=told).json()


@pytest.mark.slow
def test_a_clip_is_made_labelled_approved_let_out_verified_and_taken_back(
    house, photograph, home, tmp_path
):
    image = {"image": ("p.png", photograph.read_bytes(), "image/png")}
    fields = {"prompt": "pan left", "model": "nano", "num_frames": "9", "num_inference_steps": "1",
              "width": "240", "height": "160", "score": "false"}  # fmt: skip
    sent = ask(house, "anna", "/generate-video", "POST", 202, data=fields, files=image, headers=NOW)
    clip = done(house, sent.json()["id"])
    made = ask(house, "anna", "/releases", "POST", 201, json={"job": clip["id"], "label": True})
    release, copy = made.json()["id"], done(house, made.json()["job"])
    draft = ask(house, "anna", copy["artifact_url"])
    assert draft.headers["x-newsreel-release"] == "draft"
    asked = step(house, release, "submit", "anna", note="for tonight")
    assert asked["sha256"] == hashlib.sha256(draft.content).hexdigest()
    ask(house, "anna", f"/releases/{release}/approve", "POST", 403)
    step(house, release, "approve", "chief", sha256=asked["sha256"], revision=asked["revision"])
    ask(house, "looks", f"/releases/{release}/clip", expect=404)
    out = step(house, release, "release", "out")
    served = ask(house, "looks", f"/releases/{release}/clip")
    assert hashlib.sha256(served.content).hexdigest() == out["served_sha256"] != out["sha256"]
    verdict = ask(house, "looks", "/verify", "POST", files={"file": ("c.mp4", served.content)})
    layers = verdict.json()["layers"]
    assert not verdict.json()["changed"] and layers["c2pa"]["state"] == "trusted"
    assert layers["c2pa"]["released"] and layers["c2pa"]["generation"]["label"] == "AI"
    step(house, release, "withdraw", "out", note="wrong harbour")
    gone = ask(house, "looks", f"/releases/{release}/clip", expect=410)
    assert gone.json()["reason"] == "wrong harbour"
    assert check_log(house.database).problems == []
    told = [each["action"] for each in map(read_entry, entries(house.database))]
    assert [each for each in told if each.startswith("release.")] == [
        "release.create", "release.submit", "release.approve", "release.release",
        "release.withdraw",
    ]  # fmt: skip
    assert "clip.download" in told and "file.verify" in told
    for place in (home, tmp_path / "other-machine"):
        assert not list(place.glob("examples/*")) and not list(place.glob("releases/*")), place
