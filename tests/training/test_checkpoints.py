"""A checkpoint is whole or not there."""

import pytest
import torch

from src.core.errors import BadInputError, DivergedError, OutputError
from src.training import checkpoints
from src.training.checkpoints import CheckpointManager, check_same_network


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


def test_weights_that_are_no_numbers_are_neither_written_nor_read(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, {"step": 1, "model": {"w": torch.ones(3)}, "average": {"w": torch.ones(3)}})
    broken = {"step": 2, "model": {"w": torch.tensor([1.0, torch.nan])}, "average": {}}
    with pytest.raises(DivergedError, match="w is not finite after step 2"):
        manager.save(2, broken)
    assert manager.latest()["step"] == 1
    (tmp_path / "step-00000002").mkdir()
    torch.save(broken, tmp_path / "step-00000002" / "state.pt")
    with pytest.raises(BadInputError, match="w holds numbers that are not finite"):
        manager.latest()


def test_weights_of_another_network_are_one_sentence():
    own = {"a.weight": torch.zeros(2, 3)}
    check_same_network(own, own.items())
    with pytest.raises(BadInputError, match=r"its a.weight is \(2, 4\), here it is \(2, 3\)"):
        check_same_network({"a.weight": torch.zeros(2, 4)}, own.items())
    with pytest.raises(BadInputError, match="its a.weight is not there"):
        check_same_network({}, own.items())
    with pytest.raises(BadInputError, match=r"its b.bias is \(4,\), here it is not there"):
        check_same_network(own | {"b.bias": torch.zeros(4)}, own.items())
