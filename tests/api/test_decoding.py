"""Strangers' files are decoded behind the wall, one of each key at a time, and nobody waits for
another desk's.
"""

import asyncio
import io
import os
import re
import resource
import signal
import struct
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.accounts.rights import Role
from src.api.decoding import DecodingQueue
from src.core.errors import BadInputError
from src.worker.wall import DecodeLimits, Wall
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def slow_jpeg():
    """4 KB that take many seconds: 98 arithmetic scans of 20 megapixels without data, and no end,
    so that it is tried three times.
    """
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", progressive=True, quality=50, subsampling=0)
    data = buffer.getvalue()
    frame = data.index(b"\xff\xc2")
    data = (
        data[: frame + 1]
        + b"\xca"
        + data[frame + 2 : frame + 5]
        + struct.pack(">HH", 4400, 4400)
        + data[frame + 9 :]
    )
    first, second = [match.start() for match in re.finditer(b"\xff\xda", data)][:2]
    return data[:-2] + data[first:second] * (98 - data.count(b"\xff\xda"))


@pytest.fixture
def wall():
    made = Wall(DecodeLimits(cpu_s=1.0, wall_s=60.0, memory=1 << 30))
    yield made
    made.close()


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_is_not(wall, slow_jpeg, jpeg):
    assert len(slow_jpeg) < 5000
    wall.limits = DecodeLimits(cpu_s=0.0)  # until the kernel's next whole second
    with pytest.raises(BadInputError, match="takes longer than 0 s to decode"):
        wall.check_photograph(slow_jpeg, "image")
    wall.limits = DecodeLimits(cpu_s=1.0, wall_s=0.05)
    with pytest.raises(BadInputError, match="takes longer than 1 s to decode"):
        wall.check_photograph(slow_jpeg, "image")
    wall.limits = DecodeLimits()
    assert wall.check_photograph(jpeg, "image")[1] == ".jpeg"


def test_a_file_that_takes_too_much_memory_is_refused():
    wall, buffer = Wall(DecodeLimits(memory=350 << 20)), io.BytesIO()
    Image.new("RGBA", (9900, 9900)).save(buffer, "PNG", compress_level=1)
    with pytest.raises(BadInputError, match="more memory"):
        wall.check_photograph(buffer.getvalue(), "image")
    wall.close()


def test_a_process_that_takes_nothing_is_given_up(wall, jpeg):
    """More bytes than the pipe holds, to one that stands still."""
    wall.start()
    wall._idle[0].send_signal(signal.SIGSTOP)
    wall.limits = DecodeLimits(wall_s=0.2)
    with pytest.raises(BadInputError, match="takes longer than 10 s to decode"):
        wall.check_photograph(b"x" * (8 << 20), "image")
    wall.limits = DecodeLimits()
    assert wall.check_photograph(jpeg, "image")[1] == ".jpeg"


def test_a_service_with_many_connections_decodes(wall, jpeg):
    """Files above number 1023, which `select` does not know."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 2048:
        pytest.skip(f"this machine lets nobody open more than {most} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual, 2048), most))
    with ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (usual, most))
        for _ in range(1100):
            files.enter_context(Path(os.devnull).open())
        assert wall.check_photograph(jpeg, "image")[1] == ".jpeg"
        wall.close()


def test_a_decoder_that_dies_is_replaced(wall, jpeg):
    wall.check_photograph(jpeg, "image")
    wall._idle[0].kill()
    wall._idle[0].wait()
    assert wall.check_photograph(jpeg, "image")[1] == ".jpeg"


def test_there_is_a_process_for_each_place_before_the_first_file_comes(wall, jpeg):
    decoding = DecodingQueue(wall=wall, most=3)
    asyncio.run(decoding.start())
    assert [child.poll() for child in wall._idle] == [None] * 3
    wall._idle[0].kill()
    wall._idle[0].wait()
    asyncio.run(decoding.start())
    assert sum(child.poll() is None for child in wall._idle) == 3


def test_what_is_read_behind_the_wall_is_what_is_read_before_it(wall, photograph, pixels):
    found = wall.read_photograph(photograph)
    assert np.array_equal(found.pixels, pixels)
    assert found.data == photograph.read_bytes()


def test_the_wall_tells_no_secrets(wall, jpeg, monkeypatch):
    monkeypatch.setenv("NEWSREEL_DATABASE", "postgresql://user:hush@host/x")
    wall.check_photograph(jpeg, "image")
    from pathlib import Path

    told = Path(f"/proc/{wall._idle[0].pid}/environ")
    if told.exists():
        assert b"hush" not in told.read_bytes()


def test_a_key_decodes_one_file_at_a_time_and_all_of_them_a_few():
    now, most = {"a": 0, "b": 0, "c": 0}, []

    async def decode(decoding, key):
        async with decoding.turn(key):
            now[key] += 1
            most.append(dict(now))
            await asyncio.sleep(0.005)
            now[key] -= 1

    async def run():
        decoding = DecodingQueue(wall=Wall(), most=2)
        await asyncio.gather(*(decode(decoding, key) for key in "aaaabbbbcccc"))
        assert decoding._lines == {}

    asyncio.run(run())
    assert max(max(each.values()) for each in most) == 1
    assert max(sum(each.values()) for each in most) == 2


def test_an_open_service_decodes_as_many_as_there_are_places():
    now, most = [], []

    async def decode(decoding):
        async with decoding.turn("open"):
            now.append(1)
            most.append(len(now))
            await asyncio.sleep(0.005)
            now.pop()

    async def run():
        decoding = DecodingQueue(wall=Wall(), most=3)
        await asyncio.gather(*(decode(decoding) for _ in range(9)))
        assert decoding._lines == {}

    asyncio.run(run())
    assert max(most) == 3


class Held:
    """A wall behind which the file `b"slow"` is decoded until it is let go."""

    def __init__(self, wall):
        self.wall, self.begun, self.free = wall, threading.Event(), threading.Event()

    def check_photograph(self, data, name):
        if data == b"slow":
            self.begun.set()
            assert self.free.wait(60)
        return self.wall.check_photograph(data, name)

    def start(self, count): ...
    def close(self): ...


def test_one_desks_slow_files_hold_up_no_other_desk(make_client, jpeg, wall):
    client = make_client(work=False)
    service, held = client.app.state.service, Held(wall)
    service.decoding.wall = held
    head = {name: {"X-API-Key": service.accounts.create(name, Role.SUBMIT)[0],
                   "Prefer": "respond-async"}
            for name in ("slow", "other")}  # fmt: skip

    def send(name, data):
        files = {"image": ("p.jpg", data, "image/jpeg")}
        return client.post(
            "/generate-video", data={"prompt": "p"}, files=files, headers=head[name]
        ).status_code

    threads = [
        threading.Thread(target=send, args=("slow", b"slow")) for _ in range(45)
    ]  # more than threads to wait in
    for thread in threads:
        thread.start()
    assert held.begun.wait(20)
    assert send("other", jpeg) == 202
    held.free.set()
    for thread in threads:
        thread.join()
    wait_until(lambda: service.decoding._lines == {})
