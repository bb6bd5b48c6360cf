import pytest

from src.core.errors import BadInputError
from src.engine import probe


def test_the_cpu_has_memory_and_cores():
    hardware = probe.probe("cpu")
    assert hardware.device == "cpu"
    assert 0 < hardware.free_memory <= hardware.memory
    assert hardware.cpu_count >= 1


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInputError, match="no CUDA device is visible"):
        probe.probe("cuda")
