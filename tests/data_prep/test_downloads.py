"""Downloads against a local server: resumed, retried, checked, and clear where nothing is there."""

import io
import json
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from src.core.errors import BadInputError, MissingWeightsError, PartialFailureError
from src.core.files import sha256_of
from src.core.progress import ignore
from src.data_prep import download_msr_vtt, download_vatex
from src.data_prep.download_panda70m import panda_app
from src.data_prep.fetch import Fetcher


class Shelf(BaseHTTPRequestHandler):
    """Serves `server.files` with ranges; `server.trouble` holds answers to give first, or bytes to
    break off after.
    """

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        trouble = self.server.trouble.pop(0) if self.server.trouble else None
        if isinstance(trouble, tuple):
            self.send_response(trouble[0])
            self.send_header("Retry-After", trouble[1])
            self.end_headers()
            return
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        begin, end = self._range(len(data))
        if begin >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if self.headers.get("Range") and self.server.ranges else 200)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        with suppress(BrokenPipeError):  # a client may have seen enough
            self.wfile.write(data[begin:end][: trouble or None])

    def _range(self, length):
        text = self.headers.get("Range")
        if not text or not self.server.ranges:
            return 0, length
        begin, _, end = text.removeprefix("bytes=").partition("-")
        return int(begin), min(int(end) + 1 if end else length, length)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as shelf:
        shelf.files, shelf.trouble, shelf.asked, shelf.ranges = {}, [], [], True
        shelf.url = f"http://127.0.0.1:{shelf.server_port}"
        thread = threading.Thread(target=shelf.serve_forever, daemon=True)
        thread.start()
        yield shelf
        shelf.shutdown()
        thread.join()


FAST = Fetcher(wait=0.01)
DATA = bytes(range(256)) * 3000


def test_a_broken_connection_is_resumed(server, tmp_path):
    server.files["/a"] = DATA
    server.trouble = [300_000]
    told = []
    path = FAST.file(
        f"{server.url}/a", tmp_path / "a", told=lambda done, total: told.append((done, total))
    )
    assert path.read_bytes() == DATA
    assert server.asked[0] == ("/a", None)
    assert int(server.asked[1][1].removeprefix("bytes=").removesuffix("-")) > 0
    assert told[-1] == (len(DATA), len(DATA))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_run_goes_on_with_its_part(server, tmp_path):
    server.files["/a"] = DATA
    (tmp_path / "a.part").write_bytes(DATA[:1000])
    assert FAST.file(f"{server.url}/a", tmp_path / "a").read_bytes() == DATA
    assert server.asked == [("/a", "bytes=1000-")]
    (tmp_path / "b.part").write_bytes(DATA)
    server.files["/b"] = DATA
    assert FAST.file(f"{server.url}/b", tmp_path / "b").read_bytes() == DATA


def test_busy_servers_are_asked_again_after_what_they_say(server, tmp_path):
    server.files["/a"] = b"x"
    server.trouble = [(503, "0"), (429, "0")]
    assert FAST.file(f"{server.url}/a", tmp_path / "a").read_bytes() == b"x"
    assert len(server.asked) == 3


def test_a_wrong_hash_is_not_kept(server, tmp_path):
    server.files["/a"] = DATA
    with pytest.raises(BadInputError, match="damaged or changed"):
        FAST.file(f"{server.url}/a", tmp_path / "a", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c").write_bytes(DATA)
    FAST.file(f"{server.url}/a", tmp_path / "a", sha256=sha256_of(tmp_path / "c"))


def test_offline_and_gone_exit_three(server, tmp_path):
    with pytest.raises(MissingWeightsError, match="HTTP 404") as gone:
        FAST.file(f"{server.url}/none", tmp_path / "a")
    assert gone.value.exit_code == 3
    assert len(server.asked) == 1
    with pytest.raises(MissingWeightsError, match="check the network"):
        FAST.file("http://127.0.0.1:9/a", tmp_path / "a")


def archive(damage=False):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("MSRVTT/annotation/MSR_VTT.json", json.dumps({"sentences": []}))
        for number in (10, 2, 1):
            made.writestr(f"MSRVTT/videos/all/video{number}.mp4", bytes([number]) * 2_000_000)
    data = bytearray(buffer.getvalue())
    if damage:
        data[data.index(bytes([1]) * 100) + 50] ^= 255
    return bytes(data)


def test_msr_vtt_takes_a_few_clips_out_of_the_archive(server, tmp_path):
    server.files["/m.zip"] = archive()
    paths = download_msr_vtt.download_msr_vtt(tmp_path, 2, f"{server.url}/m.zip", FAST, ignore)
    assert [path.name for path in paths] == ["video1.mp4", "video2.mp4"]
    assert paths[1].read_bytes() == bytes([2]) * 2_000_000
    assert (tmp_path / "annotations" / "MSR_VTT.json").is_file()
    fetched = len(server.asked)
    paths[0].write_bytes(b"damaged")
    download_msr_vtt.download_msr_vtt(tmp_path, 2, f"{server.url}/m.zip", FAST, ignore)
    assert paths[0].read_bytes() == bytes([1]) * 2_000_000
    assert len(server.asked) - fetched < fetched


def test_msr_vtt_refuses_damage_other_archives_and_servers_without_ranges(server, tmp_path):
    server.files["/m.zip"] = archive(damage=True)
    with pytest.raises(BadInputError, match="damaged in the archive"):
        download_msr_vtt.download_msr_vtt(tmp_path, 1, f"{server.url}/m.zip", FAST, ignore)
    server.ranges = False
    with pytest.raises(BadInputError, match="whole files only"):
        download_msr_vtt.download_msr_vtt(tmp_path, 1, f"{server.url}/m.zip", FAST, ignore)
    result = CliRunner().invoke(
        download_msr_vtt.msr_vtt_app(), ["--output-dir", str(tmp_path), "--limit", "0"]
    )
    assert result.exit_code == 2


def test_vatex_fetches_captions_and_the_clips_that_are_there(server, tmp_path):
    server.files["/v.json"] = json.dumps(
        [{"videoID": name, "enCap": ["x"]} for name in ("a", "b", "c")]
    ).encode()
    server.files |= {"/a.mp4": b"aa", "/c.mp4": b"cc"}
    assert (
        download_vatex.download_vatex(tmp_path, None, f"{server.url}/v.json", None, FAST, ignore)
        == []
    )
    assert (tmp_path / "clips.txt").read_text("utf-8") == "a\nb\nc\n"
    template = f"{server.url}/{{id}}.mp4"
    with pytest.raises(PartialFailureError, match="1 of 3 clips could not be fetched, b first"):
        download_vatex.download_vatex(
            tmp_path, None, f"{server.url}/v.json", template, FAST, ignore
        )
    paths = download_vatex.download_vatex(
        tmp_path, 1, f"{server.url}/v.json", template, FAST, ignore
    )
    assert [path.read_bytes() for path in paths] == [b"aa"]
    with pytest.raises(MissingWeightsError, match="none of 3 clips"):
        download_vatex.download_vatex(
            tmp_path / "n", None, f"{server.url}/v.json", f"{server.url}/no/{{id}}", FAST, ignore
        )


def test_panda_prints_its_steps():
    result = CliRunner().invoke(panda_app(), [])
    assert result.exit_code == 0
    assert "research only" in result.stdout
