"""A service under everything that happens to services: who was killed, frozen, doubled or set back,
and what is left.
"""

import random
import signal
import time

from src.api.housekeeper import Housekeeper
from src.api.settings import ServiceSettings
from src.database.backup import back_up, restore, set_aside
from src.database.database import Database
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.waiting import wait_until

EVENTS = ("worker", "service", "both", "freeze", "second", "restore")
BY_HAND = {"examples/by-hand-7.mp4": "a command made it", "examples/by-hand-7.json": "{}",
           "photographs/by-hand.png": "kept for a replay"}  # fmt: skip


class Soak:
    """Rounds of jobs, each with an event. accepted: ids of jobs that the database of now was given.

    seen: text by name of every clip that was published, whatever became of its job.
    """

    def __init__(self, running, home, seed):
        self.running, self.home, self.chance = running, home, random.Random(seed)
        self.url = f"sqlite:///{home / 'newsreel.db'}"
        self.accepted, self.seen, self.count, self.pinned = [], {}, dict.fromkeys(EVENTS, 0), None
        self.service = running(NEWSREEL_LEASE="5").start()
        self.service.ready()
        for name, text in BY_HAND.items():
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_text(text)
        self.store = JobStore(Database(self.url))

    def round(self, number, event):
        request = {"prompt": f"p {number}", "fake_steps": 8, "fake_seconds": 0.6}
        new = NewJob("generate", "open", request, max_attempts=50)
        self.accepted += [self.store.submit(new)[0].id for _ in range(2)]
        if self.pinned is None:
            self.pinned = self.accepted[0]
            self.store.pin(self.pinned, True)
        time.sleep(self.chance.uniform(0.0, 1.2))
        self.count[event] += 1
        getattr(self, f"_{event}")()

    def _worker(self):
        self.service.send_workers(signal.SIGKILL)

    def _freeze(self):
        self.service.send_workers(signal.SIGSTOP)

    def _service(self):
        self.service.kill()
        self._again()

    def _both(self):
        self._worker()
        self.service.kill()
        self._again()

    def _second(self):
        """Another service on this home and database, for a while."""
        second = self.running(NEWSREEL_LEASE="5").start()
        second.ready()
        time.sleep(self.chance.uniform(0.0, 1.0))
        second.clean()

    def _restore(self):
        """Back up while it runs, go on for a while, and set everything back."""
        folder = self.home.parent / f"backup-{self.count['restore']}"
        back_up(self.store.database, self.home, folder)
        saved = set(self.accepted)
        self.accepted.append(
            self.store.submit(NewJob("generate", "open", {"prompt": "late"}, max_attempts=50))[0].id
        )
        time.sleep(self.chance.uniform(0.5, 2.0))
        self._worker()
        self.service.kill()
        self._worker()
        self._look()
        self.store.database.engine.dispose()
        set_aside(self.url)
        database = Database(self.url)
        database.migrate()
        restore(folder, database, self.home)
        self.store, self.accepted = (
            JobStore(database),
            [job for job in self.accepted if job in saved],
        )
        self._again()

    def _again(self):
        seen = self.store.last_event()
        self.service.start()
        wait_until(lambda: self._goes_on(seen))
        self.service.ready()

    def _goes_on(self, seen):
        """Whether a worker has taken a job since event `seen`, or none is left."""
        taken = any(
            event.data.get("state") == "PROCESSING" for event in self.store.events(None, seen)
        )
        return taken or self._done()

    def _done(self):
        return all(self.store.get(job).state.final for job in self.accepted)

    def _look(self):
        """Remember every published clip: people may have seen it."""
        for job in self.store.many(self.accepted).values():
            if job.artifact:
                self.seen[job.artifact] = f"clip of {job.id}"

    def end(self, seconds):
        """Let everything be done, and stop."""
        wait_until(self._done, seconds)
        self._look()
        self.service.stop()
        assert self.service.workers() == []

    def check(self):
        """Each accepted job ended once and has its clip;
        nothing that a person made or saw is gone.
        """
        jobs = [self.store.get(job) for job in self.accepted]
        assert all(job.state is State.COMPLETED for job in jobs)
        assert len({job.artifact for job in jobs}) == len(jobs)
        for job in jobs:
            assert (self.home / "examples" / job.artifact).read_text("utf-8") == f"clip of {job.id}"
            assert (
                sum(event.data.get("state") == "COMPLETED" for event in self.store.events(job.id))
                == 1
            )
        assert self.store.get(self.pinned).pinned
        for name, text in BY_HAND.items():
            assert (self.home / name).read_text("utf-8") == text
        for name, text in self.seen.items():
            assert text in self._texts(name), name

    def _texts(self, name):
        """Of the clip and of what was set aside under its name."""
        stem, aside = name.removesuffix(".mp4"), self.home / "quarantine"
        found = [
            self.home / "examples" / name,
            *aside.glob(f"{stem}.mp4"),
            *aside.glob(f"{stem}.*.mp4"),
        ]
        return {path.read_text("utf-8") for path in found if path.is_file()}

    def sweep(self):
        """What the service does when it starts leaves published clips and no others."""
        settings = ServiceSettings(database=self.url)
        Housekeeper(settings, self.store, LeaseStore(self.store.database)).tidy()
        clips = {path.name for path in (self.home / "examples").iterdir()} - {
            "by-hand-7.mp4",
            "by-hand-7.json",
        }
        assert {name for name in clips if name.endswith(".mp4")} == {
            job.artifact for job in self.store.page(limit=1000)
        }
        assert not [name for name in clips if "partial" in name]


def soak(running, home, rounds, seed):
    """So many rounds, events in turn; returns how often each happened."""
    run = Soak(running, home, seed)
    for number in range(rounds):
        run.round(number, EVENTS[number % len(EVENTS)])
    run.end(60 + 5 * rounds)
    run.check()
    run.sweep()
    return run
