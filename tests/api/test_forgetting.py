"""What is stored stays whole while it is needed, and goes with the last job that needs it."""

import hashlib
import io
import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from src.api.housekeeper import Housekeeper
from src.core import durable
from src.core.paths import examples
from src.jobs.model import NewJob
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}


def _post(client, jpeg, **fields):
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    return client.post("/generate-video", data={"prompt": "p"} | fields, files=files, headers=NOW)


def _other(jpeg, number):
    """The same picture as another file."""
    return jpeg + bytes([number])


def _photographs(home):
    return {path.name for path in (home / "photographs").glob("[!.]*")}


@pytest.fixture
def idle(make_client):
    return make_client(work=False, auth="off")


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_a_stored_photograph_that_is_damaged_is_written_again(idle, jpeg, home, damage):
    assert _post(idle, jpeg).status_code == 202
    path = home / "photographs" / f"{hashlib.sha256(jpeg).hexdigest()}.jpeg"
    path.write_bytes(jpeg[:-1] + b"\x00" if damage is None else damage)
    assert _post(idle, jpeg).status_code == 202
    assert path.read_bytes() == jpeg


def test_a_damaged_upload_is_written_again(idle, home, jpeg):
    from src.api.uploads import UploadedVideo

    upload = type("Upload", (), {"file": io.BytesIO(b"video" * 100)})()
    for _ in range(2):
        video = UploadedVideo(idle.app.state.service.files, upload)
        video.copy()
        kept = home / "uploads" / video.keep()
        assert kept.read_bytes() == b"video" * 100
        upload.file.seek(0)
        kept.write_bytes(b"video" * 99 + b"vidio")
    assert list((home / "uploads").iterdir()) == [kept]


def test_files_and_folders_reach_the_disk_before_the_job_is_stored(idle, jpeg, home, monkeypatch):
    done, service = [], idle.app.state.service
    fsync, submit = os.fsync, service.store.submit

    def noted(handle):
        done.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(durable.os, "fsync", noted)
    monkeypatch.setattr(service.store, "submit", lambda new: done.append("job") or submit(new))
    assert _post(idle, jpeg).status_code == 202
    before = done[: done.index("job")]
    assert any("photographs/." in name and ".partial" in name for name in before)
    assert str(home / "photographs") in before
    assert str(home) in before  # the folder itself is new


def test_a_photograph_goes_with_the_last_job_that_names_it(idle, jpeg, home):
    first, second = (_post(idle, jpeg).json()["id"] for _ in range(2))
    other = _post(idle, _other(jpeg, 1)).json()["id"]
    for job in (first, second, other):
        idle.post(f"/jobs/{job}/cancel")
    names = _photographs(home)
    assert len(names) == 2
    assert idle.delete(f"/jobs/{first}").status_code == 204
    assert _photographs(home) == names
    assert idle.delete(f"/jobs/{second}").status_code == 204
    assert len(_photographs(home)) == 1
    assert idle.delete(f"/jobs/{other}").status_code == 204
    assert list((home / "photographs").iterdir()) == []


def test_a_photograph_of_a_clip_that_a_command_made_stays(idle, jpeg, home):
    job = _post(idle, jpeg).json()["id"]
    examples().mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(jpeg).hexdigest()
    (examples() / "by-hand-7.json").write_text(json.dumps({"photograph": f"{digest}.jpeg"}))
    idle.post(f"/jobs/{job}/cancel")
    idle.delete(f"/jobs/{job}")
    assert len(_photographs(home)) == 1


def test_a_photograph_goes_where_the_clip_of_a_command_went_first(idle, jpeg, home):
    kept, last = (_post(idle, jpeg).json()["id"] for _ in range(2))
    examples().mkdir(parents=True, exist_ok=True)
    manifest = examples() / "by-hand-7.json"
    manifest.write_text(json.dumps({"photograph": f"{hashlib.sha256(jpeg).hexdigest()}.jpeg"}))
    idle.app.state.service.forgetter.inventory.note_commands()
    manifest.unlink()
    for job in (kept, last):
        idle.post(f"/jobs/{job}/cancel")
        idle.delete(f"/jobs/{job}")
    assert not _photographs(home)


def test_who_submits_while_the_photograph_is_removed_stores_it_again(idle, jpeg, home, monkeypatch):
    service = idle.app.state.service
    job = _post(idle, jpeg).json()["id"]
    idle.post(f"/jobs/{job}/cancel")
    forgetter, looks = service.forgetter, []
    named = forgetter.is_named

    def meanwhile(path):
        found = named(path)
        looks.append(found)
        if len(looks) == 1:  # after the first look nothing names it; then somebody submits it
            thread = threading.Thread(target=lambda: looks.append(_post(idle, jpeg).status_code))
            thread.start()
            thread.join()
        return found

    monkeypatch.setattr(forgetter, "is_named", meanwhile)
    idle.delete(f"/jobs/{job}")
    assert looks[:2] == [False, 202]
    assert len(_photographs(home)) == 1
    assert not list((home / "photographs").glob(".*"))


def test_a_job_that_cannot_be_stored_leaves_no_photograph(idle, jpeg, home, monkeypatch):
    monkeypatch.setattr(idle.app.state.service.store, "submit", lambda new: 1 / 0)
    assert _post(idle, jpeg).status_code == 500
    assert _photographs(home) == set()


def test_photographs_count_in_the_disk_limit(make_client, home):
    client = make_client(work=False, auth="off", keep_bytes=250_000)
    noise, ids = os.urandom(100 * 100 * 3), []
    for number in range(4):
        buffer = io.BytesIO()
        Image.frombytes("RGB", (100, 100), noise).save(buffer, "BMP")
        ids.append(
            _post(client, _other(buffer.getvalue(), number) * 1 + bytes(70_000)).json()["id"]
        )
        client.post(f"/jobs/{ids[-1]}/cancel")
    service = client.app.state.service
    Housekeeper(service.settings, service.store, service.leases).tidy()
    assert [job["id"] for job in client.get("/jobs").json()["jobs"]] == ids[:1:-1]
    assert len(_photographs(home)) == 2


def test_two_presses_make_one_enlargement_which_holds_its_clip(make_client):
    client = make_client(auth="off")
    store = client.app.state.service.store
    clip, _ = store.submit(NewJob("generate", "open", {"prompt": "p"}))
    wait_until(lambda: store.get(clip.id).artifact)
    client.app.state.service.broadcaster.close()
    press = {"url": f"/clips/{clip.id}/upscale", "data": {"csrf": "open"}}
    with_worker = [client.post(**press).status_code for _ in range(2)]
    assert with_worker == [303, 303]
    larger = [job for job in store.page() if job.kind == "upscale"]
    assert [job.parent for job in larger] == [clip.id]


def test_an_enlargement_is_compared_with_the_clip_it_was_made_of(make_client, jpeg):
    client = make_client(auth="off")
    store = client.app.state.service.store
    clip = _post(client, jpeg).json()["id"]
    wait_until(lambda: store.get(clip).artifact)
    client.post(f"/clips/{clip}/upscale", data={"csrf": "open"})
    wait_until(lambda: [job for job in store.page() if job.kind == "upscale" and job.artifact])
    larger = next(job for job in store.page() if job.kind == "upscale")
    alone = client.get("/compare", params={"clip": larger.id}).text
    assert alone == client.get("/compare", params={"clip": [clip, larger.id]}).text
    assert f"/artifacts/{store.get(clip).artifact}" in alone
    assert "The photograph" in client.get("/compare", params={"clip": clip}).text
    assert "Compare with the one before" in client.get(f"/clips/{larger.id}").text


def test_an_enlargement_that_waits_is_said_by_who_deletes_its_clip(idle):
    service = idle.app.state.service
    clip, _ = service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    service.leases.hold_device("d", "w", "p", {})
    service.leases.complete(service.leases.claim("w", "d"), f"p-{clip.id}-1.mp4", {})
    press = {"url": f"/clips/{clip.id}/upscale", "data": {"csrf": "open"}}
    assert idle.post(**press).status_code == 303
    for _ in range(210):  # more than a page of other jobs
        service.store.submit(NewJob("generate", "open", {"prompt": "q"}))
    assert "Enlarging" in idle.get(f"/clips/{clip.id}").text
    answer = idle.delete(f"/jobs/{clip.id}")
    assert answer.status_code == 409
    assert "is being enlarged" in answer.json()["detail"]
    larger = next(job for job in service.store.page(limit=300) if job.kind == "upscale")
    idle.post(f"/jobs/{larger.id}/cancel")
    assert idle.post(**press).status_code == 303  # runs again, as the same job
    assert service.store.get(larger.id).state == "PENDING"
    idle.post(f"/jobs/{larger.id}/cancel")
    assert idle.delete(f"/jobs/{clip.id}").status_code == 204
