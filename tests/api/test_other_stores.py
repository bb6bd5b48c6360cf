"""The service on a store that is no folder: the same answers, and nothing in the home but the
database.
"""

from src.artifacts.memory import MemoryStore
from src.jobs.model import State
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}
LINKS = "https://files.example.org/newsreel"


def _made(client, jpeg):
    answer = client.post(
        "/generate-video",
        data={"prompt": "p"},
        files={"image": ("p.jpg", jpeg, "image/jpeg")},
        headers=NOW,
    )
    assert answer.status_code == 202
    store = client.app.state.service.store
    wait_until(lambda: store.get(answer.json()["id"]).state is State.COMPLETED)
    return client.get(f"/jobs/{answer.json()['id']}").json()


def test_a_clip_from_the_form_to_its_end(make_client, jpeg, home):
    files = MemoryStore()
    client = make_client(files=files, auth="off")
    job = _made(client, jpeg)
    clip = f"clip of {job['id']}"
    answer = client.get(job["artifact_url"])
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        200,
        clip,
        "video/mp4",
    )
    part = client.get(job["artifact_url"], headers={"Range": "bytes=5-6"})
    assert (part.status_code, part.text) == (206, "of")
    assert client.get(job["manifest_url"]).json() == {}
    picture = client.get(job["picture_url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert not {path.name for path in home.glob("*/*")}
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert [
        key for folder in ("examples/", "photographs/", "previews/") for key in files.list(folder)
    ] == []
    assert client.get(job["artifact_url"]).status_code == 404


def test_a_store_that_serves_itself_is_where_clients_are_sent(make_client, jpeg):
    client = make_client(files=MemoryStore(links=LINKS), auth="off")
    job = _made(client, jpeg)
    answer = client.get(job["artifact_url"])
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert answer.headers["location"] == f"{LINKS}/examples/{job['artifact']}?seconds=60"
    assert client.get("/artifacts/none.mp4").status_code == 404
    policy = answer.headers["content-security-policy"]
    assert "media-src 'self' blob: https://files.example.org;" in policy
    assert "img-src 'self' blob: data: https://files.example.org;" in policy


def test_a_local_copy_is_gone_after_the_answer(make_client, jpeg, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    client = make_client(files=MemoryStore(), auth="off")
    job = _made(client, jpeg)
    answer = client.get(job["artifact_url"])
    tag = answer.headers["etag"]
    assert answer.status_code == 200
    assert client.get(job["artifact_url"], headers={"If-None-Match": tag}).status_code == 304
    client.get(job["artifact_url"], headers={"Range": "bytes=900-"})
    client.head(job["artifact_url"])
    assert [path for path in (tmp_path / "copies").glob("newsreel-*")] == []


def test_an_upload_is_kept_where_the_store_says(make_client, home, ffmpeg, tmp_path):
    video = tmp_path / "v.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=1", "-pix_fmt", "yuv420p", video)
    files = MemoryStore()
    client = make_client(work=False, files=files, auth="off")
    answer = client.post("/api/upload", files={"video": ("v.mp4", video.read_bytes(), "video/mp4")})
    assert answer.status_code == 202, answer.text
    kept = list(files.list("uploads/"))
    assert len(kept) == 1
    assert files.open(kept[0]).read() == video.read_bytes()
    assert client.app.state.service.index.find(kept[0])[0].bytes == video.stat().st_size
    refused = client.post("/api/upload", files={"video": ("v.mp4", b"no video", "video/mp4")})
    assert refused.status_code in (415, 422)
    assert list(files.list("uploads/")) == kept
    assert not (home / "uploads").exists()
