"""Starts workers, watches them, and starts them again;
no torch here, the API process imports it.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from loguru import logger

from src.core.paths import REPOSITORY
from src.database.trouble import UnavailableError
from src.jobs.leases import LeaseStore
from src.worker.cards import VISIBLE, cards_shown, groups
from src.worker.process import is_dead

LOOK_S = 0.5
SLOWEST_S = 30.0
SILENT = 1.5  # leases without a pulse
STARTING_S = 60.0  # until the first one
STEADY_S = 60.0  # whoever lived so long starts again at once


@dataclass
class Child:
    """One worker process: how it is started, how often it died in a row, and when its pulse was
    heard last. cards: what CUDA is to show it, None for what it shows the service.
    """

    name: str
    arguments: list[str]
    cards: str | None = None
    process: subprocess.Popen | None = None
    deaths: int = 0
    next_start: float = 0.0
    started: float = 0.0
    pulse: int | None = None
    heard: float = 0.0


@dataclass
class Supervisor:
    """Keeps `count` workers running, and gives the jobs of dead ones back at once. gpus: devices
    that each holds. on_cards: they may be cards, not the CPU or those of the fake maker. Raises
    BadInputError where there are fewer cards than they are to hold.
    """

    leases: LeaseStore
    arguments: Sequence[str]
    count: int = 1
    drain_s: float = 30.0
    gpus: int = 1
    on_cards: bool = True
    children: list[Child] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _cards: list[str | None] = field(init=False)

    def __post_init__(self) -> None:
        several = self.count * self.gpus > 1
        shown = cards_shown() if self.on_cards and several else 0
        self._cards = groups(self.count, self.gpus, shown, os.environ)

    def start(self) -> None:
        """Start the workers and a thread that watches them; `recover` comes before."""
        arguments = [*self.arguments, "--gpus", str(self.gpus)]
        for index, cards in enumerate(self._cards):
            name = f"service-{index}-{time.time_ns()}"
            self.children.append(Child(name, arguments, cards))
        self._thread = threading.Thread(target=self._watch, daemon=True, name="supervisor")
        self._thread.start()

    def recover(self) -> None:
        """Jobs and devices of workers that are known to be dead go back into the queue."""
        for known in self.leases.known_workers():
            if is_dead(known["process"]):
                jobs = self.leases.worker_gone(known["worker"])
                logger.warning(
                    "worker {} is gone; {} job(s) go on without it", known["worker"], len(jobs)
                )

    def _watch(self) -> None:
        while not self._over.is_set():
            for child in self.children:
                try:
                    self._look_after(child)
                except Exception:  # such as a database that is away for a moment
                    logger.exception("cannot look after worker {}; trying again", child.name)
            self._over.wait(LOOK_S)

    def _look_after(self, child: Child) -> None:
        self._listen(child)
        if child.process is None:
            if time.monotonic() >= child.next_start:
                self._spawn(child)
        elif child.process.poll() is not None:
            self.leases.worker_gone(child.name)
            child.deaths = child.deaths + 1 if time.monotonic() - child.started < STEADY_S else 1
            wait = min(SLOWEST_S, 0.5 * 2 ** min(child.deaths, 10)) if child.deaths > 3 else 0.0
            logger.error(
                "worker {} exited with {}; next start in {:.0f} s",
                child.name,
                child.process.returncode,
                wait,
            )
            child.process, child.next_start = None, time.monotonic() + wait

    def _listen(self, child: Child) -> None:
        """Kill a worker whose pulse was not heard for one and a half leases: it is frozen, or its
        work hangs.
        """
        if child.process is None or child.pulse is None:
            return
        with suppress(BlockingIOError):
            if os.read(child.pulse, 1 << 16):
                child.heard = time.monotonic()
        if (
            time.monotonic() - child.heard > SILENT * self.leases.lease_s
            and child.process.poll() is None
        ):
            logger.error(
                "worker {} is silent for {:.0f} s; it is killed",
                child.name,
                time.monotonic() - child.heard,
            )
            child.process.kill()
            child.process.wait()

    def _spawn(self, child: Child) -> None:
        command = [
            sys.executable,
            "-m",
            "src.worker",
            "--supervisor",
            str(os.getpid()),
            "--name",
            child.name,
        ]
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        command += ["--pulse", str(writer), *child.arguments]
        # by the environment: everybody on the machine may read a command line, and the URL may hold
        # a password
        variables = os.environ | {"NEWSREEL_DATABASE": self.leases.database.url}
        variables |= {} if child.cards is None else {VISIBLE: child.cards}
        pipe = {"pass_fds": (writer,)}
        child.process = subprocess.Popen(
            command, cwd=REPOSITORY, env=variables, process_group=0, **pipe
        )
        os.close(writer)
        if child.pulse is not None:
            os.close(child.pulse)
        child.pulse, child.started = reader, time.monotonic()
        child.heard = child.started + STARTING_S

    def alive(self) -> int:
        """How many workers run."""
        return sum(
            child.process is not None and child.process.poll() is None for child in self.children
        )

    def stop(self) -> None:
        """SIGTERM to all; those that take longer than the drain are killed, and their jobs given
        back.
        """
        self._over.set()
        self._thread.join()
        running = [child for child in self.children if child.process is not None]
        for child in running:
            child.process.terminate()
        deadline = time.monotonic() + self.drain_s + 5
        for child in running:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        for child in running:  # once all have ended, whatever the database says
            self._tell_gone(child)

    def _tell_gone(self, child: Child) -> None:
        """Where the database takes nothing (away, full), the lease runs out."""
        try:
            self.leases.worker_gone(child.name)
        except UnavailableError as error:
            logger.warning("jobs of worker {} wait for its lease to end: {}", child.name, error)

    def hurry(self) -> None:
        """SIGTERM again to all: a worker that was told to stop gives its job back at once."""
        for child in self.children:
            if child.process is not None:
                child.process.terminate()
