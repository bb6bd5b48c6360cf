"""What an encoder does to the scheduling of its process, undone.

SVT-AV1 makes its threads, and the one that opens it, real-time ones of the highest priority
(SCHED_FIFO 99) wherever the system lets it, as it lets root: the service, its database and every
other program of the machine would then wait for a video to be encoded, and child processes inherit
it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
"""One folder a thread; only Linux has it, and only there the encoder does that."""


@contextmanager
def kept_priority() -> Iterator[None]:
    """Open an encoder inside: the threads of this process keep the scheduling that they had, and
    new ones get that of the thread that opens it.
    """
    before = _policies()
    usual = before.get(threading.get_native_id())
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            wanted = before.get(thread, usual)
            if wanted is not None and policy != wanted:
                _set(thread, wanted)


def _policies() -> dict[int, tuple[int, int]]:
    """Policy and real-time priority of each thread by its number;
    empty where that cannot be asked.
    """
    found = {}
    for folder in TASKS.glob("[0-9]*"):
        thread = int(folder.name)
        with suppress(OSError):  # it has ended meanwhile
            found[thread] = (
                os.sched_getscheduler(thread),
                os.sched_getparam(thread).sched_priority,
            )
    return found


def _set(thread: int, wanted: tuple[int, int]) -> None:
    with suppress(OSError):  # it has ended meanwhile
        os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))
