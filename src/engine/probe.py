"""Look at the machine: device, memory that this process may use, and what it computes fast."""

import platform
from pathlib import Path
from typing import Any

from src.core.devices import bf16_is_fast, core_count, cpu_field, find_device
from src.core.hardware import Hardware
from src.core.toolchain import has_package, missing_for_compiling
from src.pipelines.attention_kernels import installed_kernels


def probe(device: str = "auto") -> Hardware:
    """The hardware behind "auto", "cpu" or "cuda". Raises BadInputError when CUDA is asked for and
    absent.
    """
    return _cpu() if find_device(device) == "cpu" else _cuda()


def _cuda() -> Hardware:
    import torch

    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    return Hardware(
        device="cuda",
        name=properties.name,
        memory=total,
        free_memory=free,
        cpu_count=core_count(),
        capability=(properties.major, properties.minor),
        bf16=bf16_is_fast("cuda"),
        **_compiler("cuda"),
        quantizer=has_package("torchao"),
        kernels=installed_kernels(),
        count=torch.cuda.device_count(),
        vendor="amd" if torch.version.hip else "nvidia",
        **_host(),
    )


def _compiler(device: str) -> dict[str, Any]:
    missing = missing_for_compiling(device)
    return {"compiler": not missing, "compiler_lacks": missing}


def _host() -> dict[str, int]:
    """Memory of the machine itself, from which weights move to a GPU."""
    host = _cpu()
    return {"host_memory": host.memory, "free_host_memory": host.free_memory}


def _cpu() -> Hardware:
    import psutil

    memory = psutil.virtual_memory()
    limit = cgroup_limit() or memory.total
    return Hardware(
        device="cpu",
        name=cpu_field("model name") or platform.processor() or "CPU",
        memory=min(limit, memory.total),
        free_memory=min(limit, memory.available),
        cpu_count=core_count(),
        bf16=bf16_is_fast("cpu"),
        **_compiler("cpu"),
        quantizer=has_package("torchao"),
        vendor="apple" if platform.system() == "Darwin" and platform.machine() == "arm64" else "",
    )


def cgroup_limit() -> int | None:
    """Bytes that the control group allows (cgroup v2, then v1), or None without a limit."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(name)
        text = path.read_text(encoding="utf-8").strip() if path.is_file() else "max"
        if text.isdigit() and int(text) < 2**60:
            return int(text)
    return None
