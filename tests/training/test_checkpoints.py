"""A checkpoint is whole or not there."""

import pytest
import torch

from src.core.errors import OutputError
from src.training import checkpoints
from src.training.checkpoints import CheckpointManager


def test_newest_by_number_not_by_name(tmp_path):
    manager = CheckpointManager(tmp_path, keep=5)
    for step in (9, 10, 100000000):
        manager.save(step, {"step": step})
    assert manager.steps() == [9, 10, 100000000]
    assert manager.latest()["step"] == 100000000


def test_keeps_the_last_two(tmp_path):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2, 3):
        manager.save(step, {"step": step})
    assert manager.steps() == [2, 3]


def test_a_full_disk_leaves_the_last_good_one(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path, keep=1)
    manager.save(1, {"weights": torch.ones(3)})

    def fail(state, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", fail)
    with pytest.raises(OutputError, match="free some disk space"):
        manager.save(2, {"weights": torch.zeros(3)})
    assert manager.steps() == [1]
    assert manager.latest()["weights"].eq(1).all()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_an_interrupted_write_is_ignored(tmp_path):
    (tmp_path / "step-00000007").mkdir()
    (tmp_path / ".step-00000008.partial").mkdir()
    assert CheckpointManager(tmp_path).latest() is None
