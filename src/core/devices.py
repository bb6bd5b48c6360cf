"""What several rooms ask of the machine: its cores and how many of them compute, the device behind
a name, whether bfloat16 pays.

torch is imported where it is asked, so that importing this module costs nothing.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError

AMPERE = (8, 0)
"""CUDA's compute capability from which bfloat16 is native; below, PyTorch emulates it."""

DEVICE_FILES = Path("/dev")
DRIVERS = ("nvidiactl", "dxg", "nvhost-gpu", "nvgpu", "kfd")
"""What a graphics driver puts there."""


def core_count() -> int:
    """Cores this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Whether a driver that torch computes on may be here, told without the seconds of importing
    torch: NVIDIA's on a server, in WSL or on a Jetson, AMD's, and where there is no /dev.
    """
    if not DEVICE_FILES.is_dir() or shutil.which("nvidia-smi"):
        return True
    return any((DEVICE_FILES / name).exists() for name in DRIVERS)


def threads_on(device: str) -> int | None:
    """CPU threads that torch computes on here; None where a GPU computes."""
    if device != "cpu":
        return None
    import torch

    return torch.get_num_threads()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch compute on `count` threads of the CPU inside, and on as many as before afterwards.

    The count belongs to the whole process, and a sum has other last bits when it is split among
    other threads: one that stayed would change what is made next. None or 0 changes nothing.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_device(name: str = "auto") -> str:
    """The device behind "auto", "cpu" or "cuda": "cpu" or "cuda".

    Raises BadInputError where CUDA is asked for and absent, or for another name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"unknown device {name!r}; known: auto, cpu, cuda")
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError(
            "--device cuda: no CUDA device is visible here; use --device cpu or auto"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def bf16_is_fast(device: str) -> bool:
    """Whether "cpu" or "cuda" multiplies bfloat16 natively, several times as fast as float32.

    On a CPU that takes AMX; AVX-512 alone gains nothing. What the machine says, not what is
    measured: a busy machine would answer otherwise the next time, and a run that resumes would
    change its precision.
    """
    if device == "cpu":
        return "amx_bf16" in cpu_field("flags").split()
    import torch

    return torch.cuda.get_device_capability() >= AMPERE


def cpu_field(name: str) -> str:
    """The first line of this name in /proc/cpuinfo, "" where there is none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


BEFORE_VNNI = ("SSE41", "AVX", "AVX2", "AVX512_CORE")
"""Values of ONEDNN_MAX_CPU_ISA that keep oneDNN from VNNI."""
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""What of a processor decides which arithmetic is fast, as /proc/cpuinfo names it."""


def cpu_adds_byte_products() -> bool:
    """Whether products of bytes are added in 32 bits (VNNI), as far as oneDNN is let to. Older
    processors add pairs of them in 16 bits, where eight bits a weight overflow.
    """
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    names = {"avx_vnni"} if most == "AVX2_VNNI" else {"avx_vnni", "avx512_vnni"}
    return most not in BEFORE_VNNI and bool(names & set(cpu_field("flags").split()))


def cpu_features() -> list[str]:
    """Which of `CPU_FEATURES` the processor has, and at last what torch uses of it, such as
    "AVX512": variables can lower that.
    """
    import torch

    flags = cpu_field("flags").split()
    found = [name for name in CPU_FEATURES if name in flags]
    return [*found, torch.backends.cpu.get_cpu_capability()]


def cpu_convolves_bf16() -> bool:
    """Whether convolutions in bfloat16 have instructions of their own on this processor, and torch
    takes them. With AVX512-BF16 alone those of the upscaler's networks gain, those of larger models
    do not (`bf16_is_fast`).
    """
    import torch

    has = {"avx512_bf16", "amx_bf16"} & set(cpu_features())
    return bool(has) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def machine(device: str) -> dict[str, Any]:
    """What of the machine decides a build of a model, and which way of computing is fastest."""
    if device == "cpu":
        return {"cpu": cpu_features()}
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {"gpu": properties.name, "capability": [properties.major, properties.minor],
            "cuda": torch.version.cuda, "driver": _driver()}  # fmt: skip


def _driver() -> str:
    """The NVIDIA driver's version, "" where the kernel does not tell."""
    file = Path("/sys/module/nvidia/version")
    return file.read_text("utf-8").strip() if file.is_file() else ""
