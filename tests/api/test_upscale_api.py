import io
import json
import threading
import time

import av
import numpy as np
import pytest

from src.api.upscale import safe_name


@pytest.fixture(scope="module")
def video():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), index * 40, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _upload(client, data, settings="{}"):
    return client.post(
        "/api/upload",
        files={"video": ("my clip.mp4", data, "video/mp4")},
        data={"settings": settings},
    )


def test_upload_status_progress_download(client, video):
    answer = _upload(
        client, video, json.dumps({"scale": 4, "quality": "fast", "denoiseLevel": 0.3})
    )
    assert answer.status_code == 202
    task = answer.json()["taskId"]
    for _ in range(200):
        status = client.get(f"/api/status/{task}").json()
        if status["status"] == "COMPLETED":
            break
        time.sleep(0.02)
    assert status["progress"] == 100.0
    assert client.get(status["downloadUrl"]).content.startswith(b"clip of")
    progress = client.get(f"/api/progress/{task}").json()
    assert (progress["currentFrame"], progress["totalFrames"], progress["percentage"]) == (
        4,
        4,
        100.0,
    )
    assert client.post(f"/api/cancel/{task}").status_code == 409


def test_cancel_says_so(make_client, video):
    client = make_client(work=False, auth="off")
    task = _upload(client, video).json()["taskId"]
    assert client.get(f"/api/download/{task}").status_code == 409
    assert client.post(f"/api/cancel/{task}").json() == {"message": "cancelled"}
    assert client.get(f"/api/status/{task}").json()["status"] == "CANCELLED"


def test_a_video_whose_other_job_is_deleted_while_it_comes_again_is_kept(
    make_client, video, home, monkeypatch
):
    client = make_client(work=False, auth="off")
    first = _upload(client, video).json()["taskId"]
    client.post(f"/api/cancel/{first}")
    service = client.app.state.service
    submit = service.store.submit

    def deleted_meanwhile(new):
        service.forgetter.forget(first)
        assert not list((home / "uploads").iterdir())
        return submit(new)

    monkeypatch.setattr(service.store, "submit", deleted_meanwhile)
    assert _upload(client, video).status_code == 202
    (kept,) = (home / "uploads").iterdir()
    assert kept.read_bytes() == video


@pytest.mark.parametrize(
    ("settings", "words"),
    [("[]", "JSON object"), ("{", "is not valid JSON: Expecting"), ('{"scale": 3}', "scale"),
     ('{"nope": 1}', "nope"), ('{"denoiseLevel": 2}', "denoiseLevel"),
     ('{"quality": "best"}', "quality")],
)  # fmt: skip
def test_bad_settings(client, video, settings, words):
    answer = _upload(client, video, settings)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no video",
        b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 64,
        b"#EXTM3U\nfile:///etc/passwd\n",
    ],
)
def test_what_is_no_video_is_refused_and_not_kept(client, home, data):
    assert _upload(client, data).status_code == 422
    assert not list((home / "uploads").glob("*"))


def test_a_playlist_opens_no_other_file(client, home, video):
    (home / "uploads").mkdir(parents=True)
    (home / "uploads" / "theirs.mp4").write_bytes(video)
    lists = (b"ffconcat version 1.0\nfile theirs.mp4\n",
             b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ntheirs.mp4\n"
             b"#EXT-X-ENDLIST\n")  # fmt: skip
    assert [_upload(client, data).status_code for data in lists] == [422, 422]
    assert [path.name for path in (home / "uploads").iterdir()] == ["theirs.mp4"]


def test_the_same_video_from_many_at_once(make_client, home, video):
    client, answers = make_client(work=False, auth="off"), []
    data = video + bytes(4_000_000)
    threads = [
        threading.Thread(target=lambda: answers.append(_upload(client, data).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 6
    assert [path.stat().st_size for path in (home / "uploads").iterdir()] == [len(data)]


def test_names_of_videos_are_plain_text():
    assert safe_name("../a\\b\ud800c\x00.mp4") == "bc"
    assert safe_name("\ud800") == "video"
    assert len(safe_name("n" * 5000)) == 60


def test_a_sound_file_is_no_video(client):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "no picture" in _upload(client, buffer.getvalue()).json()["detail"]


def test_a_clip_is_no_upscaling_task(client):
    from src.jobs.model import NewJob

    job, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    assert client.get(f"/api/status/{job.id}").status_code == 404
