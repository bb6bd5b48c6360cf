"""Processes of a group end with the code of their way out, even where a collective ends while they
do.
"""

import subprocess
import sys
from datetime import timedelta

from src.core.paths import REPOSITORY

MEMBER = """
import atexit, ctypes, sys, time
from datetime import timedelta

def hold_the_lock():
    ctypes.PyDLL(None).sleep(3)

sys.setswitchinterval(1000)
# first registered, last run: Python finalises next, while Gloo waits for the lock
atexit.register(hold_the_lock)

import torch
import torch.distributed as group
from src.console.ending import leaving_the_group
from src.console.output import command
from src.core.errors import DivergedError

rank, port = int(sys.argv[1]), int(sys.argv[2])
nothing = lambda: None
bug = ZeroDivisionError("a bug")
ways = (nothing, nothing, DivergedError("diverged"), KeyboardInterrupt(), bug)
with leaving_the_group(), command(quiet=True):
    minute = timedelta(seconds=60)
    store = group.TCPStore("127.0.0.1", port, len(ways), is_master=False, timeout=minute)
    known = {"rank": rank, "world_size": len(ways)}
    group.init_process_group("gloo", store=store, timeout=minute, **known)
    group.barrier()
    if rank == 0:
        time.sleep(1.5)  # the others are on their way out by now
    group.all_reduce(torch.ones(4), async_op=True)
    if rank == 0:
        time.sleep(0.5)
    if isinstance(ways[rank], BaseException):
        raise ways[rank]
"""
CODES = {0: 0, 1: 0, 2: 7, 3: 130, 4: 1}


def test_every_way_out_of_a_group_has_its_own_exit_code():
    from torch.distributed import TCPStore

    store = TCPStore(
        "127.0.0.1",
        0,
        len(CODES),
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=60),
    )
    command = [sys.executable, "-c", MEMBER]
    members = {
        rank: subprocess.Popen(
            [*command, str(rank), str(store.port)],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in CODES
    }
    said = {rank: member.communicate(timeout=120)[1] for rank, member in members.items()}
    assert {rank: member.returncode for rank, member in members.items()} == CODES, said
    assert "terminate called" not in "".join(said.values())
    assert "diverged" in said[2]
    assert "ZeroDivisionError: a bug" in said[4]
