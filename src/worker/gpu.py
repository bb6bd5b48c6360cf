"""What a worker's GPU does at the moment, by NVIDIA's management library."""

from contextlib import suppress
from typing import Any


def gpu_reading(device: str) -> dict[str, float]:
    """busy (0 to 1), memory_used, memory (bytes) and celsius of this process's CUDA device; empty
    for a device of another kind, and where nvidia-ml-py (`requirements-fleet.txt`) is not installed
    or the driver tells nothing.
    """
    if device != "cuda":
        return {}
    try:
        import pynvml
    except ImportError:
        return {}
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return _read(pynvml, pynvml.nvmlDeviceGetHandleByUUID(_uuid()))
    return {}


def _uuid() -> str:
    """Of the current device, whichever of the machine's this process sees as its first."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"


def _read(pynvml: Any, handle: Any) -> dict[str, float]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "busy": pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        "memory_used": memory.used,
        "memory": memory.total,
        "celsius": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
    }
