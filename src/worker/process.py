"""Who a process is, so that another one can tell whether it still lives: machine, boot, pid and
start time.
"""

import os
import socket
from pathlib import Path

import psutil

BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int | None = None) -> str:
    """Such as "host/4fb0.../1234/8812345"; a pid that is used again has another start time."""
    pid = os.getpid() if pid is None else pid
    return f"{machine_name()}/{pid}/{_started(pid)}"


def _started(pid: int) -> str:
    """Ticks since the boot: the time of day at the start, as psutil has it, changes when the clock
    is set.
    """
    process, stat = psutil.Process(pid), Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except FileNotFoundError:  # no Linux, or gone just now
        return f"{process.create_time():.2f}"


def machine_name() -> str:
    """This machine since its last start."""
    boot = (
        BOOT.read_text(encoding="utf-8").strip() if BOOT.is_file() else f"{psutil.boot_time():.0f}"
    )
    return f"{socket.gethostname()}/{boot}"


def device_names(device: str, count: int = 1) -> tuple[str, ...]:
    """The devices as all workers name them: "host/cpu", however many processes share it, or
    "cuda:UUID" of the first visible cards, which containers share. Of the fake maker each by
    itself: "a+b" are two.
    """
    if device != "cuda":
        return tuple(f"{socket.gethostname()}/{each}" for each in device.split("+"))
    import torch

    found = [torch.cuda.get_device_properties(place).uuid for place in range(count)]
    return tuple(f"cuda:{uuid}" for uuid in found)


def is_dead(process: str) -> bool:
    """True where it is certain: a process of this machine that is gone, or of an earlier boot of
    it.
    """
    parts = process.split("/")
    if len(parts) != 4 or not parts[2].isdecimal():
        return False  # whoever wrote that is none of ours
    host, boot, pid, _ = parts
    here_host, here_boot = machine_name().split("/")
    if host != here_host:
        return False
    if boot != here_boot:
        return True
    try:
        return (
            identity(int(pid)) != process
            or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return True
