"""Which tests start a process, a server or a thread of the product.

`NEWSREEL_TEST_STARTED=FOLDER` keeps their ids there; where it holds some, no others are run.
Python's audit events say what is started (PEP 578), but not of multiprocessing, which starts in a
way of its own. What a fixture starts for several tests counts for each of them.
"""

import os
import sys
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

STARTED = "NEWSREEL_TEST_STARTED"
EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "socket.bind"}
THREAD = "_thread.start_new_thread"


def install(config: pytest.Config) -> None:
    """Where the variable says so: run what is kept, or keep what starts something."""
    if not (folder := os.environ.get(STARTED)):
        return
    kept = {name for path in Path(folder).glob("*.txt") for name in path.read_text().splitlines()}
    config.pluginmanager.register(Kept(kept) if kept else Recorder(Path(folder)))


class Kept:
    """Only these tests."""

    def __init__(self, kept: set[str]) -> None:
        self.kept = kept

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]):
        others = [item for item in items if item.nodeid not in self.kept]
        items[:] = [item for item in items if item.nodeid in self.kept]
        config.hook.pytest_deselected(items=others)


class Recorder:
    """Counts what is started; a process of the suite keeps its tests in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.tests: list[str] = []
        self.fixtures: set[tuple[str, str]] = set()
        sys.addaudithook(self._heard)
        self._hear_of_multiprocessing()

    def _hear_of_multiprocessing(self) -> None:
        start = BaseProcess.start

        def heard(process: BaseProcess) -> None:
            self.count += 1
            start(process)

        BaseProcess.start = heard

    def _heard(self, event: str, arguments: tuple) -> None:
        self.count += event in EVENTS or (event == THREAD and _is_of_the_product())

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[None]:
        before = self.count
        answer = yield
        if self.count > before:
            self.fixtures.add((fixturedef.baseid, fixturedef.argname))
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = self.count
        answer = yield
        if self.count > before or self._shares(item):
            self.tests.append(item.nodeid)
        return answer

    def _shares(self, item: pytest.Item) -> bool:
        """Whether a fixture of the test started something, be it for an earlier one."""
        return any(
            name in getattr(item, "fixturenames", ()) and item.nodeid.startswith(base)
            for base, name in self.fixtures
        )

    def pytest_sessionfinish(self) -> None:
        """The process that only hands out tests has none."""
        if self.tests:
            (self.folder / f"{os.getpid()}.txt").write_text("\n".join(self.tests) + "\n")


def _is_of_the_product() -> bool:
    frame = sys._getframe(2)
    while frame and not frame.f_globals.get("__name__", "").startswith("src."):
        frame = frame.f_back
    return frame is not None
