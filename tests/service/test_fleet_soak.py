"""Many workers on RabbitMQ and PostgreSQL, for long and under everything that happens to them. By
hand: pytest -m soak tests/service/test_fleet_soak.py -s, which prints the figures of docs/fleet.md.

NEWSREEL_SOAK_JOBS (10000) and NEWSREEL_SOAK_KILL (60, seconds) make the long one shorter.
"""

import itertools
import os
import signal
import subprocess
import threading
import time
import urllib.request
import uuid

import pytest

from src.broker.permits import BrokerPermits
from src.database.database import Database
from src.database.trouble import UnavailableError
from src.jobs.model import NewJob, State
from src.jobs.store import JobStore
from tests.broker.fleet_kit import completions, fleet, submit
from tests.broker.rabbit_kit import rabbit_server
from tests.database.postgres_kit import postgres_server
from tests.waiting import wait_until

pytestmark = pytest.mark.soak
JOBS = int(os.environ.get("NEWSREEL_SOAK_JOBS", "10000"))
KILL_S = float(os.environ.get("NEWSREEL_SOAK_KILL", "60"))


@pytest.fixture
def server():
    with postgres_server() as made:
        yield made


@pytest.fixture
def broker():
    with rabbit_server() as made:
        yield made


@pytest.fixture
def store(server):
    made = Database(server.url)
    made.migrate()
    yield JobStore(made)
    made.engine.dispose()


@pytest.fixture
def workers(home, server, broker):
    with fleet(home, server.url, broker.url) as made:
        yield made


@pytest.fixture
def api(running, server, broker):
    """A replica without workers of its own."""
    variables = {"NEWSREEL_DATABASE": server.url, "NEWSREEL_BROKER": broker.url,
                 "NEWSREEL_WORKERS": "0", "NEWSREEL_LEASE": "10", "NEWSREEL_MAX_QUEUE": "100000",
                 "NEWSREEL_SHARE": "1", "NEWSREEL_PER_DAY": "100000000"}  # fmt: skip
    return lambda: running(**variables).start()


def _all_done(store, ids):
    return all(job.state.final for job in store.many(ids).values())


def _are_there(database, count):
    from src.jobs.leases import LeaseStore

    wait_until(lambda: len(LeaseStore(database).known_workers()) >= count, 120)
    time.sleep(3)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_workers_are_busy_nearly_all_the_time(store, workers, api, count):
    api().ready()
    for number in range(count):
        workers.start(f"w{number}")
    _are_there(store.database, count)
    jobs = [submit(store, fake_seconds=5.0, fake_steps=10).id for _ in range(4 * count)]
    wait_until(lambda: _all_done(store, jobs), 120)
    done = list(store.many(jobs).values())
    busy = sum(job.finished_at - job.started_at for job in done)
    span = max(job.finished_at for job in done) - min(job.started_at for job in done)
    print(f"\nN={count}: busy / (N x span) = {busy / (count * span):.3f}")
    assert all((job.state, job.attempts) == (State.COMPLETED, 1) for job in done)


def _post(url, picture):
    """Submit by HTTP; returns the seconds."""
    edge = uuid.uuid4().hex
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\npan left\r\n',
             f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
             "Content-Type: image/png\r\n\r\n"]  # fmt: skip
    body = "".join(parts).encode() + picture + f"\r\n--{edge}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "Prefer": "respond-async"}
    begin = time.monotonic()
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/generate-video", body, headers), timeout=30
    ) as answer:
        assert answer.status == 202
    return time.monotonic() - begin


def test_no_submission_waits_for_the_broker(store, broker, api, photograph):
    service, picture = api(), photograph.read_bytes()
    service.ready()
    for _ in range(20):
        _post(service.url, picture)
    for state in ("up", "frozen", "down"):
        if state == "frozen":
            broker.signal(signal.SIGSTOP)
        elif state == "down":
            broker.signal(signal.SIGCONT)
            broker.kill()
        times = []
        for _ in range(200):
            times.append(_post(service.url, picture))
            time.sleep(0.05)
        times.sort()
        print(f"\nbroker {state}: median {times[100] * 1e3:.0f} ms, "
              f"p99 {times[197] * 1e3:.0f} ms, longest {times[-1] * 1e3:.0f} ms")  # fmt: skip
    assert len(store.page(limit=1000)) == 620


def test_a_worker_that_joins_takes_the_short_job(store, workers, api, broker):
    api().ready()
    permits = BrokerPermits(broker.url)
    workers.start("w0")
    _are_there(store.database, 1)
    long = submit(store, fake_seconds=20.0, fake_steps=40)
    permits.publish("generate", long.id)
    wait_until(lambda: store.get(long.id).state is State.PROCESSING)
    short = submit(store, fake_seconds=1.0)
    permits.publish("generate", short.id)
    begin = time.time()
    workers.start("w1")
    wait_until(lambda: store.get(short.id).state is State.COMPLETED)
    done = store.get(short.id)
    print(f"\ntaken {done.started_at - begin:.1f} s after the second process was started, "
          f"done {done.finished_at - begin:.1f} s after")  # fmt: skip
    permits.stop()
    assert store.get(long.id).state is State.PROCESSING


def test_a_job_longer_than_the_consumer_timeout_runs_once(store, home, server):
    with rabbit_server(60.0) as broker, fleet(home, server.url, broker.url) as workers:
        permits = BrokerPermits(broker.url)
        worker = workers.start("w0")
        _are_there(store.database, 1)
        job = submit(store, fake_seconds=170.0, fake_steps=340)
        permits.publish("generate", job.id)
        wait_until(lambda: store.get(job.id).state is State.COMPLETED, 240)
        after = time.time()
        wait_until(lambda: worker.poll() is not None or _quick(store, permits), 60)
        if worker.poll() is not None:
            print(f"\nthe worker exited with {worker.returncode} after {time.time() - after:.1f} s")
            workers.start("w0")
            wait_until(lambda: _quick(store, permits), 60)
        print(f"\nconsuming again {time.time() - after:.1f} s after the job's end")
        permits.stop()
        assert (store.get(job.id).attempts, completions(store, job.id)) == (1, 1)


def _quick(store, permits):
    """Whether a job of nothing is done within three seconds."""
    job = submit(store)
    permits.publish("generate", job.id)
    for _ in range(30):
        if store.get(job.id).state is State.COMPLETED:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def elsewhere():
    """A network namespace with a cable to this one: its name, our address, and our end's name."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    name, ours, theirs = "nrsoak", "nrsoak0", "nrsoak1"
    steps = [f"netns add {name}", f"link add {ours} type veth peer name {theirs}",
             f"link set {theirs} netns {name}", f"addr add 10.77.0.1/24 dev {ours}",
             f"link set {ours} up", f"-n {name} addr add 10.77.0.2/24 dev {theirs}",
             f"-n {name} link set {theirs} up", f"-n {name} link set lo up"]  # fmt: skip
    for step in steps:
        subprocess.run(["ip", *step.split()], check=True)
    yield name, "10.77.0.1", ours
    subprocess.run(["ip", "link", "del", ours], check=True)
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_worker_that_is_cut_off_publishes_nothing_and_goes_on(elsewhere, home, running):
    name, address, link = elsewhere
    with (
        postgres_server(address) as server,
        rabbit_server(address=address) as broker,
        fleet(home, server.url, broker.url) as workers,
    ):
        database = Database(server.url)
        database.migrate()
        store, permits = JobStore(database), BrokerPermits(broker.url)
        running(NEWSREEL_DATABASE=server.url, NEWSREEL_BROKER=broker.url, NEWSREEL_WORKERS="0",
                NEWSREEL_LEASE="10").start().ready()  # fmt: skip
        far = {"NEWSREEL_DATABASE": f"postgresql+psycopg://newsreel@{address}/postgres",
               "NEWSREEL_BROKER": broker.url.replace("127.0.0.1", address)}  # fmt: skip
        inside = ("ip", "netns", "exec", name)
        workers.start("far", "--lease", "10", before=inside, **far)
        _are_there(database, 1)
        job = submit(store, fake_seconds=100.0, fake_steps=200)
        permits.publish("generate", job.id)
        wait_until(lambda: store.get(job.id).state is State.PROCESSING)
        first = store.get(job.id).worker
        workers.start("near", "--lease", "10")
        _are_there(database, 2)
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        cut = time.time()
        wait_until(lambda: store.get(job.id).worker not in (None, first), 60)
        print(f"\ntaken over {time.time() - cut:.1f} s after the cut")
        time.sleep(max(0.0, 75 - (time.time() - cut)))
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        healed = time.time()
        after = submit(store)
        permits.publish("generate", after.id)
        wait_until(lambda: store.get(after.id).state is State.COMPLETED, 60)
        print(f"\nnext job done {time.time() - healed:.1f} s after the link was back")
        wait_until(lambda: store.get(job.id).state is State.COMPLETED, 120)
        permits.stop()
        assert (completions(store, job.id), store.get(job.id).attempts) == (1, 2)
        database.engine.dispose()


class Storm:
    """Kills something every `KILL_S` seconds, and starts it again."""

    def __init__(self, workers, broker, server, api):
        self.workers, self.broker, self.server, self.api = workers, broker, server, api
        self.service, self.over, self.killed = api(), threading.Event(), []
        self.service.ready()
        self.thread = threading.Thread(target=self._blow)

    def _blow(self):
        victims = itertools.cycle(("worker", "broker", "database", "service"))
        while not self.over.wait(KILL_S):
            name = next(victims)
            getattr(self, f"_{name}")()
            self.killed.append(name)

    def _worker(self):
        name = f"w{len(self.killed) % 3}"
        self.workers.kill(name)
        self.workers.start(name, "--lease", "10")

    def _broker(self):
        self.broker.kill()
        self.broker.start()

    def _database(self):
        self.server.stop()
        time.sleep(2)
        self.server.start()

    def _service(self):
        self.service.kill()
        self.service.start()


def _submit_all(store, accepted, count):
    while len(accepted) < count:
        new = NewJob("generate", "a", {"prompt": "p", "fake_steps": 1}, max_attempts=50,
                     idempotency_key=f"k{len(accepted)}")  # fmt: skip
        try:
            accepted.append(store.submit(new)[0].id)
        except UnavailableError:
            time.sleep(0.5)


def test_every_job_is_done_once_whatever_is_killed(store, workers, broker, server, api, home):
    storm = Storm(workers, broker, server, api)
    for number in range(3):
        workers.start(f"w{number}", "--lease", "10")
    begin, accepted = time.monotonic(), []
    storm.thread.start()
    _submit_all(store, accepted, JOBS)
    wait_until(lambda: _settled(store), 3600)
    seconds = time.monotonic() - begin
    storm.over.set()
    storm.thread.join()
    jobs = store.many(accepted)
    states = {job.state for job in jobs.values()}
    published = [event.job_id for event in _all_events(store)
                 if event.data.get("state") == "COMPLETED"]  # fmt: skip
    clips = {path.name for path in (home / "examples").glob("*.mp4")}
    print(f"\n{len(jobs)} jobs in {seconds:.0f} s, killed {storm.killed}; most attempts: "
          f"{max(job.attempts for job in jobs.values())}, artifacts {len(clips)}")  # fmt: skip
    assert states == {State.COMPLETED}
    assert sorted(published) == sorted(accepted)
    assert {job.artifact for job in jobs.values()} <= clips


def _settled(store):
    try:
        return not any(store.counts().values())
    except UnavailableError:
        return False


def _all_events(store):
    after = 0
    while some := store.events(None, after, 5000):
        after = some[-1].id
        yield from some
