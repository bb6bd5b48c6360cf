"""PostgreSQL, RabbitMQ, SeaweedFS and Prometheus as ordinary processes of this machine, each in a
folder and on ports of its own, reached from this machine alone.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the path changes the user
RULES = Path(__file__).parents[1] / "prometheus" / "rules.yml"
LOCAL = "127.0.0.1"
STARTING_S = 120.0
DEBIAN = "apt-get install postgresql rabbitmq-server prometheus"
PYTHON = "pip install -r requirements-fleet.txt -r requirements-fleet-tests.txt"


class TrialError(Exception):
    """Something of the fleet is missing, or ended; the message says what."""


def free_port(above: int = 0) -> int:
    """A port that nobody has; with `above` it and the one so much above it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind((LOCAL, 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind((LOCAL, port + above if above else 0))
                return port


def wait_for(ready: Callable[[], bool], what: str, process: subprocess.Popen, log: Path) -> None:
    """Until it answers. Raises TrialError with the end of its log."""
    deadline = time.monotonic() + STARTING_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TrialError(f"{what} did not start:\n{log.read_text('utf-8', 'replace')[-1500:]}")
        time.sleep(0.2)


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((LOCAL, port)) == 0


class Server:
    """A process in a session of its own, so that Ctrl-C at the terminal is ours alone. folder: for
    its files; its log is `NAME.log` there.
    """

    name = "server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.log = folder / f"{self.name}.log"
        self.process: subprocess.Popen | None = None

    def run(self, command: list[str], **environment: str) -> subprocess.Popen:
        """Start a process."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return self.process

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM to it and all that it started, then SIGKILL."""
        if self.process is None:
            return
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.process.pid)
            every = [main, *main.children(recursive=True)]
            main.terminate()
            _, left = psutil.wait_procs(every, seconds)
            for each in left:
                each.kill()
        self.process.wait()

    def ended(self) -> bool:
        """Whether it is gone without having been asked."""
        return self.process is not None and self.process.poll() is not None


class Postgres(Server):
    """url: for NEWSREEL_DATABASE."""

    name = "postgresql"

    def start(self) -> None:
        programs = _programs()
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.user = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
        if account:  # it refuses root, and must reach its folder
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        data, self.port = str(self.folder / "data"), free_port()
        self._once(programs / "initdb", "-D", data, "-A", "trust", "-U", "newsreel", "-E", "UTF8",
                   "--locale", "C")  # fmt: skip
        options = {"port": self.port, "listen_addresses": LOCAL, "unix_socket_directories": ""}
        told = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [programs / "postgres", "-D", data, *told], stdout=log, stderr=log, cwd="/",
                stdin=subprocess.DEVNULL, start_new_session=True, **self.user,
            )  # fmt: skip
        wait_for(lambda: listens(self.port), "PostgreSQL", self.process, self.log)
        self.url = f"postgresql+psycopg://newsreel@{LOCAL}:{self.port}/postgres"

    def _once(self, program: Path, *arguments: str) -> None:
        done = subprocess.run([program, *arguments], capture_output=True, cwd="/",
                              check=False, **self.user)  # fmt: skip
        if done.returncode:
            raise TrialError(f"{program.name}: {done.stderr.decode(errors='replace')[-500:]}")


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found:
        raise TrialError(f"PostgreSQL is not installed: {DEBIAN}")
    return found[-1]


def rabbit_environment(folder: Path, port: int, mapper: int) -> dict[str, str]:
    """Variables of a RabbitMQ that lies in `folder` and is reached from this machine alone. mapper:
    the port of its own epmd.
    """
    own = {
        "HOME": folder,
        "RABBITMQ_NODENAME": f"newsreel{port}@localhost",
        "RABBITMQ_MNESIA_BASE": folder / "data",
        "RABBITMQ_LOG_BASE": folder / "logs",
        "RABBITMQ_CONFIG_FILE": folder / "rabbitmq",
        "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
        "RABBITMQ_PID_FILE": folder / "pid",
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": mapper,
        "ERL_EPMD_ADDRESS": LOCAL,
    }
    return {name: str(value) for name, value in own.items()}


class Rabbit(Server):
    """url: for NEWSREEL_BROKER."""

    name = "rabbitmq"

    def start(self) -> None:
        if not RABBIT.is_file():
            raise TrialError(f"RabbitMQ is not installed: {DEBIAN}")
        self.port, mapper = free_port(), free_port()
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {LOCAL}:{self.port}\nconsumer_timeout = 25200000\n"
        )
        (self.folder / "plugins").write_text("[].")
        self.mapper = subprocess.Popen(
            ["epmd", "-address", LOCAL, "-port", str(mapper)], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        process = self.run([str(RABBIT)], **rabbit_environment(self.folder, self.port, mapper))
        wait_for(lambda: listens(self.port), "RabbitMQ", process, self.log)
        self.url = f"amqp://guest:guest@{LOCAL}:{self.port}//"

    def stop(self, seconds: float = 20.0) -> None:
        super().stop(seconds)
        if hasattr(self, "mapper"):
            self.mapper.kill()
            self.mapper.wait()


class Seaweed(Server):
    """store: for NEWSREEL_STORE. variables: the credentials that go with it."""

    name = "seaweedfs"
    ABOVE = 10_000  # it adds this to each port for a second one

    def start(self) -> None:
        beside = Path(sys.executable).with_name("weed")
        program = str(beside) if beside.exists() else shutil.which("weed")
        if program is None:
            raise TrialError(f"SeaweedFS is not installed: {PYTHON}")
        secret = secrets.token_hex(16)
        self.variables = {"AWS_ACCESS_KEY_ID": "newsreel", "AWS_SECRET_ACCESS_KEY": secret}
        ports = {name: free_port(self.ABOVE) for name in ("master", "volume", "filer", "s3")}
        process = self.run(
            [program, "server", f"-dir={self.folder}", f"-ip={LOCAL}", f"-ip.bind={LOCAL}",
             "-volume.max=200", "-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-s3",
             f"-s3.config={self._identities(secret)}", "-s3.port.iceberg=0", "-s3.port.lance=0",
             *(f"-{name}.port={port}" for name, port in ports.items())]
        )  # fmt: skip
        wait_for(lambda: listens(ports["s3"]), "SeaweedFS", process, self.log)
        self._make_bucket(program, ports)
        self.store = f"s3://newsreel/trial?endpoint=http://{LOCAL}:{ports['s3']}"

    def _identities(self, secret: str) -> Path:
        path = self.folder / "identities.json"
        path.touch(mode=0o600)
        path.write_text(
            '{"identities": [{"name": "newsreel", "credentials": [{"accessKey": "newsreel", '
            f'"secretKey": "{secret}"}}], '
            '"actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}'
        )
        return path

    @staticmethod
    def _make_bucket(program: str, ports: dict[str, int]) -> None:
        """Its port answers before buckets can be made."""
        words = "s3.bucket.create -name newsreel\ns3.bucket.versioning -name newsreel -enable\n"
        command = [program, "shell", f"-master={LOCAL}:{ports['master']}",
                   f"-filer={LOCAL}:{ports['filer']}"]  # fmt: skip
        deadline = time.monotonic() + STARTING_S
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                done = subprocess.run(command, input=words + "exit\n", capture_output=True,
                                      text=True, timeout=20, check=False)  # fmt: skip
                if "versioning set to Enabled" in done.stdout + done.stderr:
                    return
            time.sleep(1)
        raise TrialError("SeaweedFS made no bucket")


class Prometheus(Server):
    """url: of its page."""

    name = "prometheus"

    def start(self, target: str, key: str) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise TrialError(f"Prometheus is not installed: {DEBIAN}")
        port = free_port()
        (self.folder / "key").touch(mode=0o600)
        (self.folder / "key").write_text(key)
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 5s, evaluation_interval: 5s}\n"
            f"rule_files: ['{RULES}']\n"
            "scrape_configs:\n"
            "  - job_name: newsreel\n"
            "    authorization: {credentials_file: key}\n"
            f"    static_configs: [{{targets: ['{target}']}}]\n"
        )
        process = self.run(
            [program, f"--config.file={self.folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={self.folder / 'data'}",
             f"--web.listen-address={LOCAL}:{port}", "--log.level=warn"]
        )  # fmt: skip
        wait_for(lambda: listens(port), "Prometheus", process, self.log)
        self.url = f"http://{LOCAL}:{port}"
