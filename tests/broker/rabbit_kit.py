"""A RabbitMQ server of a test's own, on a free port of 127.0.0.1, in a folder of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from deploy.trial.servers import RABBIT as SERVER
from deploy.trial.servers import free_port, rabbit_environment
from tests.waiting import wait_until

CONFIGURATION = """listeners.tcp.1 = 127.0.0.1:{port}
log.console = false
consumer_timeout = {timeout_ms}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
"""
STARTING_S = 120.0


def skip_without_rabbit() -> None:
    """Skips the test where server or client are not installed; under CI it fails."""
    missing = [] if SERVER.is_file() else ["RabbitMQ is not installed"]
    try:
        import celery  # noqa: F401
    except ImportError:
        missing.append("requirements-fleet.txt is not installed")
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI installs it: {missing[0]}")
    if missing:
        pytest.skip(missing[0])


@contextmanager
def rabbit_server(
    consumer_timeout_s: float = 1800.0, address: str = ""
) -> Iterator["RabbitServer"]:
    """A started server; it and its folder are gone afterwards, whatever happened. address: of this
    machine, on which it listens too; everybody who reaches it may use the server.
    """
    skip_without_rabbit()
    folder = Path(tempfile.mkdtemp(prefix="newsreel-mq-"))
    made = RabbitServer(folder, consumer_timeout_s, address)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def rabbit() -> Iterator["RabbitServer"]:
    """One for the tests of this process, which leave their queues empty."""
    with rabbit_server() as server:
        yield server


class RabbitServer:
    """Lies in `folder`; what it holds survives `kill` and `start`."""

    def __init__(self, folder: Path, consumer_timeout_s: float, address: str = "") -> None:
        self.folder, self.port, self.mapper_port = folder, free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        text = CONFIGURATION.format(port=self.port, timeout_ms=int(consumer_timeout_s * 1000))
        if address:
            text += f"listeners.tcp.2 = {address}:{self.port}\nloopback_users.guest = false\n"
        (folder / "rabbitmq.conf").write_text(text)
        (folder / "plugins").write_text("[].")
        self.mapper = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", str(self.mapper_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Returns once it answers."""
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [SERVER], env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, STARTING_S)

    def _environment(self) -> dict[str, str]:
        return os.environ | rabbit_environment(self.folder, self.port, self.mapper_port)

    def _answers(self) -> bool:
        from kombu import Connection

        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text("utf-8")[-3000:])
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def _programs(self) -> list[psutil.Process]:
        """The shell that starts it, and the server, which is the shell's child."""
        try:
            shell = psutil.Process(self.process.pid)
            return [*shell.children(recursive=True), shell]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        """Such as SIGSTOP, for the whole server."""
        for process in self._programs():
            with suppress(psutil.NoSuchProcess):  # a helper that ended with its parent
                process.send_signal(number)

    def kill(self) -> None:
        """Without mercy; `start` brings it back."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.mapper.kill()
        self.mapper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
