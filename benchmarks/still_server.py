"""Pictures a second of src.still_server: one at a time, in batches, with two processes; each a
server of its own, one after the other.

    python -m benchmarks.still_server --size 64x48 --seconds 15
"""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import typer
from PIL import Image

from src.core.paths import REPOSITORY

WAYS = {"alone": ("--batch", "1"), "batches of 8": (), "two processes": ("--processes", "2")}


def main(size: str = "64x48", seconds: float = 15.0, clients: int = 8) -> None:
    """Print a line a way."""
    width, height = map(int, size.split("x"))
    picture = _picture(width, height)
    for name, flags in WAYS.items():
        print(f"{name:<14} {_rate(flags, picture, seconds, clients):6.1f} pictures a second")


def _picture(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _rate(flags: tuple[str, ...], picture: bytes, seconds: float, clients: int) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "src.still_server", "--port", str(port), *flags]
    with subprocess.Popen(command, cwd=REPOSITORY) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url)
            return _load(f"{url}/upscale", picture, seconds, clients)
        finally:
            server.send_signal(signal.SIGTERM)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(url)


def _load(url: str, picture: bytes, seconds: float, clients: int) -> float:
    end = time.monotonic() + seconds

    def client(_: int) -> int:
        done = 0
        with httpx.Client(timeout=60) as session:
            while time.monotonic() < end:
                answer = session.post(url, files={"image": ("a.png", picture)})
                done += answer.status_code == 200
        return done

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients))) / seconds


if __name__ == "__main__":
    typer.run(main)
