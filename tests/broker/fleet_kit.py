"""Workers that wait for permits, as processes, each with a device of its own."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from src.core.paths import REPOSITORY
from src.jobs.model import NewJob


class Fleet:
    """Fake workers on one database, broker and home."""

    def __init__(self, home, database, broker, log):
        self.home, self.database, self.broker, self.log = home, database, broker, log
        self.workers = {}

    def start(self, name="w0", *arguments, before=(), **variables):
        """One more worker, or one again that died. before: a command that starts it."""
        own = {"NEWSREEL_HOME": str(self.home), "NEWSREEL_DATABASE": self.database,
               "NEWSREEL_BROKER": self.broker, "NEWSREEL_FAKE_DEVICE": name,
               "OMP_NUM_THREADS": "1"}  # fmt: skip
        command = [*before, sys.executable, "-m", "src.worker", "--broker", "--maker", "fake"]
        command += arguments
        with self.log.open("a") as log:
            self.workers[name] = subprocess.Popen(
                command, cwd=REPOSITORY, env=os.environ | own | variables, stdout=log, stderr=log
            )
        return self.workers[name]

    def kill(self, name):
        self.workers[name].kill()
        self.workers[name].wait()

    def stop(self):
        """SIGTERM to all; returns their exit codes."""
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        return [worker.wait(60) for worker in self.workers.values()]

    def clean(self):
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.kill()
                worker.wait()


@contextmanager
def fleet(home, database, broker):
    home.mkdir(parents=True, exist_ok=True)
    made = Fleet(home, database, broker, home.parent / "workers.log")
    try:
        yield made
    finally:
        made.clean()
        if made.log.is_file():
            print(made.log.read_text("utf-8"))  # shown where the test failed


def submit(store, kind="generate", **request):
    """A job without a permit."""
    return store.submit(NewJob(kind, "a", {"prompt": "p"} | request))[0]


def completions(store, job_id):
    """How often the job was published."""
    return sum(event.data.get("state") == "COMPLETED" for event in store.events(job_id))
