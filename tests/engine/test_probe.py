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


def test_a_device_that_is_none_is_refused():
    with pytest.raises(BadInputError, match="known: auto, cpu, cuda"):
        probe.probe("banana")


def test_peak_memory_where_the_system_does_not_state_it(tmp_path, monkeypatch):
    from src.engine import costs

    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmRSS:\t5 kB\n")
    monkeypatch.setattr(costs, "STATUS", status)
    assert costs.peak_rss() > 1 << 20
