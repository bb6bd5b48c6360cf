"""What the API bears: submissions a second with the fake generator, `/health` meanwhile, listing
among many jobs.

    python -m benchmarks.service_load --rate 200 --seconds 30 --finished 100000

Server, workers and this load generator share the machine. The photograph is a JPEG of about 100 KB.
"""

import argparse
import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

from src.core.paths import REPOSITORY
from src.database.database import Database
from src.database.tables import jobs


def photograph() -> bytes:
    """A JPEG of about 100 KB."""
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (60, 90, 3), np.uint8)
    picture = Image.fromarray(small).resize((900, 600), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=84)
    return buffer.getvalue()


def fill(database: Database, count: int) -> None:
    """Finished jobs of an earlier time."""
    now = time.time() - 86400
    same = {
        "kind": "generate",
        "owner": "open",
        "state": "COMPLETED",
        "request": {"prompt": "old"},
        "group": "",
    }
    same |= {
        "rank": now,
        "created_at": now,
        "finished_at": now,
        "cancel_requested": False,
        "pinned": False,
    }
    same |= {"priority": 0, "attempts": 1, "max_attempts": 3, "token": 1, "done": 0, "total": 0}
    rows = [same | {"id": f"{int(now * 1000) - index:011x}{index:010x}"} for index in range(count)]
    for begin in range(0, count, 10_000):
        with database.write() as connection:
            connection.execute(jobs.insert(), rows[begin : begin + 10_000])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(home: Path, port: int, **others: str) -> subprocess.Popen:
    """uvicorn with the fake maker and limits raised. others: variables that replace these."""
    variables = {"NEWSREEL_HOME": str(home), "NEWSREEL_AUTH": "off", "NEWSREEL_MAKER": "fake",
                 "NEWSREEL_MIN_FREE": "0", "NEWSREEL_MAX_QUEUE": "10000000",
                 "NEWSREEL_PER_MINUTE": "10000000", "NEWSREEL_PER_DAY": "10000000",
                 "NEWSREEL_KEEP_DAYS": "0"}  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "src.api_server:app", "--port", str(port),
               "--log-level", "warning", "--no-access-log"]  # fmt: skip
    return subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | variables | others)


async def until_up(client: httpx.AsyncClient, begin: float) -> float:
    """Seconds from `begin` until `/health` answers."""
    while True:
        try:
            await client.get("/health")
            return time.perf_counter() - begin
        except httpx.TransportError:
            await asyncio.sleep(0.02)


async def timed(call: object, into: list[float], failures: list[str]) -> None:
    begin = time.perf_counter()
    try:
        answer = await call
        if answer.status_code >= 300:
            failures.append(f"{answer.status_code} {answer.text[:100]}")
    except httpx.TransportError as error:
        failures.append(repr(error))
    into.append(1000 * (time.perf_counter() - begin))


class Line:
    """One kept connection that speaks just enough HTTP: httpx would need more of the machine than
    the server.
    """

    def __init__(self, port: int) -> None:
        self.port, self.streams = port, None

    async def post(self, body: bytes) -> int:
        """Send a submission, read the whole answer; returns its status."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(HEAD % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(int(length.split(b":")[1]))
        return int(head.split()[1])


HEAD = (b"POST /generate-video HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: respond-async\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n")  # fmt: skip


def form(number: int, data: bytes) -> bytes:
    """A body whose photograph is its own: the number follows the picture's end."""
    prompt = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\np %d\r\n' % number
    image = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n\r\n' + data
    return prompt + image + b"%d" % number + b"\r\n--b--\r\n"


async def submit(
    lines: asyncio.Queue, number: int, data: bytes, into: list[float], failures: list[str]
) -> None:
    begin = time.perf_counter()
    line = await lines.get()
    status = await line.post(form(number, data))
    lines.put_nowait(line)
    into.append(1000 * (time.perf_counter() - begin))
    if status != 202:
        failures.append(str(status))


async def load(
    client: httpx.AsyncClient, port: int, rate: float, seconds: float
) -> dict[str, object]:
    """Submissions at a fixed rate, whether or not earlier ones were answered; `/health` five times
    a second.
    """
    data, submits, healths, failures = photograph(), [], [], []
    lines: asyncio.Queue = asyncio.Queue()
    for _ in range(64):
        lines.put_nowait(Line(port))
    tasks, begin = [], time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(submit(lines, number, data, submits, failures)))
        if number % max(1, int(rate / 5)) == 0:
            tasks.append(asyncio.create_task(timed(client.get("/health"), healths, failures)))
    await asyncio.gather(*tasks)
    spent = time.perf_counter() - begin
    return {
        "photograph_kb": len(data) / 1000, "submitted": len(submits),
        "per_second": len(submits) / spent, "submit_ms": percentiles(submits),
        "health_ms": percentiles(healths), "failures": failures[:5], "failed": len(failures),
    }  # fmt: skip


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    parts = {"p50": 50, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(values, part)), 1) for name, part in parts.items()}


async def listing(client: httpx.AsyncClient) -> dict[str, float]:
    """`GET /jobs` in milliseconds, pages and filters in turn."""
    times: list[float] = []
    for _ in range(20):
        for path in ("/jobs", "/jobs?state=COMPLETED", "/jobs?state=FAILED&limit=200"):
            await timed(client.get(path), times, [])
    return percentiles(times)


def busy(server: subprocess.Popen) -> dict[str, float]:
    """Seconds of processor time so far: of the service, its workers, and this load generator."""
    service = psutil.Process(server.pid)
    parts = {"service": [service], "workers": service.children(), "load": [psutil.Process()]}
    return {
        name: sum(sum(each.cpu_times()[:2]) for each in processes)
        for name, processes in parts.items()
    }


async def measure(
    port: int, begin: float, options: argparse.Namespace, server: subprocess.Popen
) -> dict[str, object]:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60
    ) as client:
        result: dict[str, object] = {"start_s": round(await until_up(client, begin), 2)}
        result["listing_ms"] = await listing(client)
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.1)
        before = busy(server)
        result |= await load(client, port, options.rate, options.seconds)
        spent = {name: value - before[name] for name, value in busy(server).items()}
        return result | {
            "cpu_ms_a_submission": {
                k: round(1000 * v / result["submitted"], 2) for k, v in spent.items()
            }
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--finished", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        database = Database(f"sqlite:///{folder}/newsreel.db")
        database.migrate()
        fill(database, options.finished)
        begin, server = time.perf_counter(), start(Path(folder), port)
        try:
            result = asyncio.run(measure(port, begin, options, server))
            with database.read() as connection:
                stored = (
                    connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one()
                    - options.finished
                )
        finally:
            server.terminate()
            server.wait()
    print(json.dumps(result | {"stored": stored, "lost": result["submitted"] - stored}, indent=2))


if __name__ == "__main__":
    main()
