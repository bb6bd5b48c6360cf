"""What a worker tells of its GPU. No machine of ours has one: NVIDIA's library is a stand-in."""

import sys
from types import SimpleNamespace

import pytest
import torch

from src.worker.gpu import gpu_reading


class FakeError(Exception):
    pass


def library(**changes):
    usual = {
        "NVMLError": FakeError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=3, total=80),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=50),
        "nvmlDeviceGetTemperature": lambda handle, kind: {"GPU-abc": 61}[handle],
    }
    return SimpleNamespace(**usual | changes)


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="abc")
    )


def test_use_memory_and_temperature_of_the_own_card(card, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", library())
    told = {"busy": 0.5, "memory_used": 3, "memory": 80, "celsius": 61}
    assert gpu_reading("cuda") == told
    assert gpu_reading("cpu") == gpu_reading("fake") == {}


def test_a_driver_or_library_that_is_not_there_says_nothing(card, monkeypatch):
    def none():
        raise FakeError

    monkeypatch.setitem(sys.modules, "pynvml", library(nvmlInit=none))
    assert gpu_reading("cuda") == {}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_reading("cuda") == {}
