"""Look at the machine: device, memory that this process may use, and what it computes fast."""

import os
import platform
import shutil
from pathlib import Path

from src.core.errors import BadInputError
from src.core.hardware import Hardware


def probe(device: str = "auto") -> Hardware:
    """The hardware behind "auto", "cpu" or "cuda". Raises BadInputError when CUDA is asked for and absent."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"unknown device {device!r}; known: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInputError("--device cuda: no CUDA device is visible here; use --device cpu or auto")
    if device == "cpu" or not torch.cuda.is_available():
        return _cpu()
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    capability = (properties.major, properties.minor)
    return Hardware(
        device="cuda",
        name=properties.name,
        memory=total,
        free_memory=free,
        cpu_count=_cpus(),
        capability=capability,
        bf16=capability >= (8, 0),
        compiler=has_compiler(),
    )


def _cpu() -> Hardware:
    import psutil

    memory = psutil.virtual_memory()
    limit = cgroup_limit() or memory.total
    return Hardware(
        device="cpu",
        name=_cpu_field("model name") or platform.processor() or "CPU",
        memory=min(limit, memory.total),
        free_memory=min(limit, memory.available),
        cpu_count=_cpus(),
        bf16="amx_bf16" in _cpu_field("flags").split(),
        compiler=has_compiler(),
    )


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler (CPU code and Triton's launcher both need one)."""
    return any(shutil.which(name) for name in ("g++", "clang++"))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_field(name: str) -> str:
    """The first line of this name in /proc/cpuinfo, "" where there is none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def cgroup_limit() -> int | None:
    """Bytes that the control group allows (cgroup v2, then v1), or None without a limit."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(name)
        text = path.read_text().strip() if path.is_file() else "max"
        if text.isdigit() and int(text) < 2**60:
            return int(text)
    return None
