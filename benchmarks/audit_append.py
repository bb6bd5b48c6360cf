"""What the audit log costs a submission: the same submissions a second with and without entries, in
turns of a second, so that whatever else the machine does meets both.

    python -m benchmarks.audit_append --rate 200 --turns 20

SQLite, each commit synced; threads submit as the service's do, and share commits.
"""

import argparse
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from src.database.database import Database
from src.jobs import store as module
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from src.journal.checking import check_log

THREADS = 40  # as many as FastAPI's pool has
REQUEST = {"prompt": "Press briefing at city hall, slow push in", "mode": "optimized", "seed": 7}
append = module.append


def turn(store: JobStore, rate: float, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of each submission from when it was due, and processor seconds of all."""
    times: list[float] = []
    lock, begin, spent = threading.Lock(), time.perf_counter(), time.process_time()

    def submit(due: float) -> None:
        store.submit(NewJob("generate", "k", REQUEST))
        with lock:
            times.append(1000 * (time.perf_counter() - due))

    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(submit, due)
    return times, time.process_time() - spent


def measure(rate: float, turns: int) -> dict[str, object]:
    """Both ways in turns, the first way changing each time."""
    ways = {"without": lambda *_: None, "with": append}
    times: dict[str, list[float]] = {name: [] for name in ways}
    busy = dict.fromkeys(ways, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: JobStore(Database(f"sqlite:///{Path(folder) / name}.db")) for name in ways}
        for store in stores.values():
            store.database.migrate()
        for number in range(turns):
            for name in sorted(ways, reverse=number % 2 == 0):
                module.append = ways[name]
                some, spent = turn(stores[name], rate, 1.0)
                times[name] += some
                busy[name] += spent
        module.append = append
        found = check_log(stores["with"].database)
        assert (found.size, found.problems) == (len(times["with"]), [])
    return report(times, busy)


def report(times: dict[str, list[float]], busy: dict[str, float]) -> dict[str, object]:
    """Percentiles and processor time of both, and the ratio of one to the other."""
    told = {
        name: {f"p{part}_ms": round(float(np.percentile(values, part)), 2) for part in (50, 99)}
        | {"submitted": len(values), "cpu_ms": round(1000 * busy[name] / len(values), 3)}
        for name, values in times.items()
    }
    parts = ("p50_ms", "p99_ms", "cpu_ms")
    ratio = {part: round(told["with"][part] / told["without"][part], 2) for part in parts}
    return told | {"ratio": ratio}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    print(json.dumps(measure(options.rate, options.turns), indent=2))
