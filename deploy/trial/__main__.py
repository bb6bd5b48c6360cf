"""A whole fleet on this machine, for a trial, without Docker: `make fleet PORT=8000 MAKER=fake`.

PostgreSQL, RabbitMQ, SeaweedFS, Prometheus, the API and two workers, as ordinary processes in a
temporary folder. SIGTERM or Ctrl-C ends all of it and removes the folder, clips included.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from deploy.trial.servers import (
    LOCAL,
    Postgres,
    Prometheus,
    Rabbit,
    Seaweed,
    Server,
    TrialError,
    wait_for,
)

WORKERS = 2
DRAIN_S = 10


class Fleet:
    """folder: of everything. port: of the API. maker: "engine" or "fake"."""

    def __init__(self, folder: Path, port: int, maker: str) -> None:
        self.folder, self.port, self.maker = folder, port, maker
        self.running: list[Server] = []

    def start(self, ended: ExitStack) -> None:
        """What was started is stopped by `ended`, in the opposite order. Raises TrialError."""
        self.ended = ended
        postgres, rabbit, seaweed = (kind(self.folder) for kind in (Postgres, Rabbit, Seaweed))
        for server in (postgres, rabbit, seaweed):
            self._begin(server).start()
        self.variables = {
            "NEWSREEL_DATABASE": postgres.url, "NEWSREEL_BROKER": rabbit.url,
            "NEWSREEL_STORE": seaweed.store, "NEWSREEL_WORKERS": "0",
            "NEWSREEL_HOME": str(self.folder / "home"), **seaweed.variables,
            "NEWSREEL_WATERMARK_KEY": str(self._watermark_key()),
        }  # fmt: skip
        self.key, watching = self._key("trial"), self._key("prometheus")
        self._api()
        for number in range(WORKERS):
            self._worker(number)
        self.prometheus = Prometheus(self.folder)
        self._begin(self.prometheus).start(f"{LOCAL}:{self.port}", watching)

    def _begin(self, server: Server) -> Server:
        self.running.append(server)
        self.ended.callback(server.stop)
        return server

    def _key(self, name: str) -> str:
        """A new admin's key."""
        command = [sys.executable, "-m", "src.api_keys", "create", name, "--role", "admin",
                   "--json"]  # fmt: skip
        done = subprocess.run(command, env=os.environ | self.variables, capture_output=True,
                              text=True, check=False)  # fmt: skip
        if done.returncode:
            raise TrialError(done.stderr.strip())
        return json.loads(done.stdout)["key"]

    def _api(self) -> None:
        server = self._begin(_named("api", self.folder))
        command = [sys.executable, "-m", "uvicorn", "src.api_server:app", "--host", LOCAL,
                   "--port", str(self.port), "--log-level", "warning"]  # fmt: skip
        process = server.run(command, **self.variables)
        wait_for(self._answers, "the API", process, server.log)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOCAL}:{self.port}/health", timeout=5):
                return True
        except OSError:
            return False

    def _watermark_key(self) -> Path:
        """One for both workers and the service, which reads what they mark."""
        path = self.folder / "watermark.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32) + "\n")
        return path

    def _worker(self, number: int) -> None:
        server = self._begin(_named(f"worker-{number + 1}", self.folder))
        own = {"NEWSREEL_HOME": str(self.folder / f"home-{number + 1}"),
               "NEWSREEL_FAKE_DEVICE": f"fake-{number + 1}"}  # fmt: skip
        if self.maker == "engine" and (cards := _cards()):
            own["CUDA_VISIBLE_DEVICES"] = cards[number % len(cards)]
        command = [sys.executable, "-m", "src.worker", "--broker", "--maker", self.maker,
                   "--drain", str(DRAIN_S)]  # fmt: skip
        server.run(command, **self.variables | own)

    def trouble(self) -> str:
        """What ended without having been asked, "" for nothing."""
        gone = [server for server in self.running if server.ended()]
        return "; ".join(f"{each.name} ended, see {each.log}" for each in gone)

    def described(self) -> str:
        """Addresses and the key."""
        url = f"http://{LOCAL}:{self.port}"
        lines = [f"page        {url}", f"key         {self.key}",
                 f"prometheus  {self.prometheus.url}", f"logs        {self.folder}/*.log",
                 f'try         curl -H "X-API-Key: {self.key}" -F image=@PHOTOGRAPH '
                 f"-F prompt='pan left' {url}/generate-video"]  # fmt: skip
        if self.maker == "engine" and not _cards():
            lines.append("one processor: the second worker takes over where the first ends")
        return "\n".join([*lines, "Ctrl-C ends all of it and removes the folder."])


def _named(name: str, folder: Path) -> Server:
    return type("Named", (Server,), {"name": name})(folder)


def _cards() -> list[str]:
    """Ids of the CUDA devices."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return done.stdout.split() if done.returncode == 0 else []


def main(
    port: Annotated[int, typer.Option(help="Of the API and its page.")] = 8000,
    maker: Annotated[
        str, typer.Option(help="engine: the real models; fake: stand-ins.")
    ] = "engine",
) -> None:
    """Start everything, print where it is, and stay until a signal."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    folder = Path(tempfile.mkdtemp(prefix="newsreel-fleet-", dir="/tmp"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    fleet, code = Fleet(folder, port, maker), 0
    try:
        with ExitStack() as ended:
            try:
                fleet.start(ended)
                print(fleet.described(), flush=True)
                code = _stay(fleet, asked)
            except TrialError as error:
                print(f"error: {error}", file=sys.stderr)
                code = 1
            print("stopping", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(code)


def _stay(fleet: Fleet, asked: threading.Event) -> int:
    while not asked.wait(1.0):
        if said := fleet.trouble():
            raise TrialError(said)
    return 0


if __name__ == "__main__":
    typer.run(main)
