"""The real thing: uvicorn and workers as processes, killed without mercy."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

import psutil
import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.core.paths import REPOSITORY
from src.database.database import Database
from tests.s3_kit import s3_line, s3_url, seaweed  # noqa: F401
from tests.service.browser_kit import CLIP
from tests.warm_start import PIDS

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")


def _runs(told):
    """Whether the process that left the file runs still, and no later one has its id."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(told.name))
        older = process.create_time() <= told.stat().st_mtime + 0.1
        return older and process.status() != psutil.STATUS_ZOMBIE
    return False


class RunningService:
    """uvicorn on a free port, with NEWSREEL_* variables."""

    def __init__(self, home, **variables):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"
        self.forked = home.parent / "forked"
        self.forked.mkdir(exist_ok=True)
        settings = {"NEWSREEL_HOME": str(home), "NEWSREEL_AUTH": "off", "NEWSREEL_MIN_FREE": "0",
                    "NEWSREEL_PER_MINUTE": "100000", "NEWSREEL_MAKER": "fake",
                    "OMP_NUM_THREADS": "1", PIDS: str(self.forked)}  # fmt: skip
        self.environment = os.environ | settings | variables
        self.process, self.pids = None, []

    def start(self):
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "src.api_server:app",
            "--port",
            str(self.port),
            "--log-level",
            "warning",
        ]
        self.log = (self.home.parent / "service.log").open("a")
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.pids.append(self.process.pid)
        return self

    def ready(self, path="/health", seconds=90):
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            try:
                if self.get(path):
                    return time.monotonic() - begin
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
        raise AssertionError((self.home.parent / "service.log").read_text("utf-8")[-3000:])

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.loads(answer.read())

    def status(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def workers(self):
        """Pids of the worker processes that this service started, before it was killed too."""
        mine = "|".join(str(pid) for pid in self.pids)
        wanted = f"src.worker --supervisor ({mine}) "
        found = subprocess.run(["pgrep", "-f", wanted], capture_output=True, text=True).stdout
        return [int(line) for line in found.split()] + self._warm(re.compile(wanted))

    def _warm(self, wanted):
        """Pids of those that were forked warm."""
        files = self.forked.glob("[0-9]*")
        told = [file for file in files if wanted.match(file.read_text("utf-8"))]
        return [int(file.name) for file in told if _runs(file)]

    def send_workers(self, number):
        """A signal for each of them, but those that end meanwhile."""
        for pid in self.workers():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)

    def clean(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.send_workers(signal.SIGKILL)


@pytest.fixture
def running(home):
    """A function that makes a service; all are cleaned up."""
    made = []

    def make(**variables):
        home.mkdir(parents=True, exist_ok=True)
        made.append(RunningService(home, **variables))
        return made[-1]

    yield make
    for service in made:
        service.clean()


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium through Playwright; its shell, which is lighter, has no windows of its own
    but is not what editors have.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs Chromium; it is not here")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def browser(chromium):
    """It, without what earlier tests opened: open pages go on asking services that are gone."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture
def site(running, home):
    """A service with keys, whose clips are real videos."""
    service = running(
        NEWSREEL_AUTH="on", NEWSREEL_FAKE_CLIP=str(CLIP), NEWSREEL_FAKE_SECONDS="0.5"
    ).start()
    service.ready("/ready")
    service.accounts = Accounts(Database(f"sqlite:///{home / 'newsreel.db'}"))
    service.secret, service.account = service.accounts.create("desk", Role.ADMIN, 1000, 1000)
    return service
