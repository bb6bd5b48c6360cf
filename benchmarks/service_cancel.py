"""How soon a running job stops computing after `POST /jobs/{id}/cancel`, through HTTP, beside how
long its steps take.

    python -m benchmarks.service_cancel --maker fake --rounds 10
    python -m benchmarks.service_cancel --maker engine --rounds 5

The job ends with its CANCELLED event, which the worker writes after the computing has stopped; what
its process computes in the second after that is told too. The fake maker sleeps in steps of a
second.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from benchmarks.service_load import free_port, photograph, start
from src.database.database import Database
from src.jobs.leases import LeaseStore

FAKE_S = 4.0  # in four steps


def until_ready(client: httpx.Client, patience: float = 300.0) -> float:
    """Seconds until `/ready` answers 200; raises TimeoutError after `patience` seconds."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < patience:
        if answers(client):
            return time.perf_counter() - begin
        time.sleep(0.1)
    raise TimeoutError(f"the service was not ready within {patience:g} s")


def answers(client: httpx.Client) -> bool:
    """Whether the service says that it is ready; False while nothing listens yet."""
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def events(client: httpx.Client, job: str) -> list[dict[str, object]]:
    """What has happened to a job until its end."""
    lines = client.get(f"/jobs/{job}/events").text.splitlines()
    return [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith('data: {"at"')
    ]


def one(client: httpx.Client, chance: random.Random, number: int) -> dict[str, float]:
    """Submit, let it compute for a while, cancel; seconds from the request to the end, and of the
    request itself.
    """
    files = {"image": ("p.jpg", photograph() + str(number).encode())}
    sent = client.post(
        "/generate-video",
        files=files,
        data={"prompt": "pan left"},
        headers={"Prefer": "respond-async"},
    )
    job = sent.json()["id"]
    while client.get(f"/jobs/{job}").json()["progress"]["stage"] != "denoise":
        time.sleep(0.02)
    time.sleep(chance.uniform(0.0, 1.0))
    begin, at = time.perf_counter(), time.time()
    client.post(f"/jobs/{job}/cancel").raise_for_status()
    answered = time.perf_counter() - begin
    last = events(client, job)[-1]
    if last["state"] != "CANCELLED":
        raise SystemExit(f"the job ended {last['state']} before it was cancelled")
    return {"stopped_s": last["at"] - at, "answered_s": answered}


def whole(client: httpx.Client) -> float:
    """Seconds of one denoising step of a job that nobody cancels."""
    sent = client.post(
        "/generate-video", files={"image": photograph()}, data={"prompt": "pan left"}
    ).json()
    steps = next(
        event["total"]
        for event in events(client, sent["job"]["id"])
        if event.get("stage") == "denoise"
    )
    return sent["job"]["result"]["seconds"]["denoise"] / steps


def busy_after(home: Path) -> float:
    """Seconds of processor time that the worker takes in the next second."""
    worker = LeaseStore(Database(f"sqlite:///{home}/newsreel.db")).known_workers()[0]
    process = psutil.Process(worker["info"]["pid"])
    before = process.cpu_times()
    time.sleep(1.0)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maker", choices=("fake", "engine"), default="fake")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    warm = "" if options.maker == "fake" else "optimized"
    variables = {
        "NEWSREEL_MAKER": options.maker,
        "NEWSREEL_FAKE_SECONDS": str(FAKE_S),
        "NEWSREEL_WARM": warm,
    }
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = start(Path(folder), port, **variables)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=None) as client:
                result = {"ready_s": until_ready(client), "step_s": whole(client)}
                chance = random.Random(0)
                rounds = [one(client, chance, number) for number in range(options.rounds)]
                result["worker_busy_in_the_next_second_s"] = busy_after(Path(folder))
        finally:
            server.terminate()
            server.wait()
    for name in ("stopped_s", "answered_s"):
        values = [each[name] for each in rounds]
        result[name] = {"median": round(statistics.median(values), 3), "max": round(max(values), 3)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
