"""Single pictures, several at once; and the endpoint, as a process."""

import io
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from src.core.paths import REPOSITORY
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.stills import PLAIN, enlarge_stills
from tests.waiting import wait_until

SIZES = [(40, 56), (24, 32), (40, 56), (40, 56)]


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]


def alone(backend, picture):
    """As a video of one frame."""
    (large,) = (
        frame
        for batch in backend.enlarge(Stretch(picture[None]), PLAIN, UpscaleRun())
        for frame in batch
    )
    source = picture.astype(np.float32) / 255
    return np.rint(np.clip(backend.finish(large, source, PLAIN), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("budget", [None, 1 << 22])
def test_pictures_of_several_sizes_are_what_each_is_alone(weights, pictures, scale, budget):
    backend = NetworkBackend(UpscalerChoice("fast", scale, folder=weights))
    if budget:
        backend.keep_to([budget for _ in backend.measured()])
    made = enlarge_stills(backend, pictures)
    for picture, large in zip(pictures, made, strict=True):
        assert large.shape == (scale * picture.shape[0], scale * picture.shape[1], 3)
        difference = np.abs(large.astype(int) - alone(backend, picture).astype(int))
        assert difference.max() <= 1  # sums of several pictures round otherwise


@pytest.fixture(scope="module")
def endpoint():
    """A URL."""
    pytest.importorskip("litserve", reason="LitServe is an extra (requirements-stills.txt)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "src.still_server", "--port", str(port), "--wait", "0.2"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as server:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_up(url), 120)
        yield url
        children = psutil.Process(server.pid).children(recursive=True)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert psutil.wait_procs(children, 10)[1] == []


def _is_up(url):
    try:
        return httpx.get(f"{url}/health", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def _png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def test_the_endpoint_answers_many_at_once_each_with_its_own(endpoint, pictures):
    backend = NetworkBackend(UpscalerChoice("fast", 2))

    def post(picture):
        files = {"image": ("a.png", _png(picture))}
        return httpx.post(f"{endpoint}/upscale", files=files, timeout=60)

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(post, pictures))
    for picture, answer in zip(pictures, answers, strict=True):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        made = np.array(Image.open(io.BytesIO(answer.content)))
        assert np.abs(made.astype(int) - alone(backend, picture).astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("sent", "words"),
    [({"files": {"image": ("a.txt", b"no picture")}}, "is not a picture"),
     ({"files": {"other": ("a.png", b"x")}}, "as the file `image`"),
     ({"json": {}}, "as the file `image`")],
)  # fmt: skip
def test_what_is_no_picture_is_one_sentence(endpoint, sent, words):
    answer = httpx.post(f"{endpoint}/upscale", timeout=60, **sent)
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True)


def test_a_small_file_that_would_become_a_huge_picture_is_refused(endpoint):
    stream = io.BytesIO()
    Image.new("1", (5000, 5000)).save(stream, "PNG")
    answer = httpx.post(
        f"{endpoint}/upscale", files={"image": ("a.png", stream.getvalue())}, timeout=60
    )
    assert (answer.status_code, "more than 16777216" in answer.json()["detail"]) == (422, True)


def test_a_batch_without_memory_is_tried_in_halves(pictures, monkeypatch):
    pytest.importorskip("litserve", reason="LitServe is an extra (requirements-stills.txt)")
    from src.cli import still_api

    asked = []

    def enlarge(_, batch):
        asked.append(len(batch))
        if len(batch) > 1:
            raise RuntimeError("CUDA error: out of memory")
        return batch

    monkeypatch.setattr(still_api, "enlarge_stills", enlarge)
    api = still_api.StillApi(UpscalerChoice("fast", 2), max_batch_size=8)
    api.backend = None
    made = api.predict(pictures)
    assert all(np.array_equal(a, b) for a, b in zip(made, pictures, strict=True))
    assert asked == [4, 2, 1, 1, 2, 1, 1]


def test_the_api_never_imports_it():
    code = "import sys, src.api_server; print('litserve' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True,
                          text=True, env=os.environ | {"NEWSREEL_AUTH": "off"})  # fmt: skip
    assert done.stdout.split() == ["False"], done.stderr
