"""Each tracker writes on this machine alone; one that is not installed says what to do."""

import importlib.util

import pytest

from src.core.errors import BadInputError
from src.training import trackers


def needs(name):
    return pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"{name} is optional and not installed"
    )


def use(name, tmp_path):
    tracker = trackers.make_tracker(name, "press", tmp_path, {"rank": 4})
    for step in (1, 2):
        tracker.log(step, {"loss": 0.5 / step, "learning_rate": 1e-4})
    tracker.close()


@needs("tensorboard")
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    use("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "press"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]


@needs("wandb")
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    use("wandb", tmp_path)
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 1
    assert files[0].stat().st_size > 200


@needs("mlflow")
def test_mlflow_in_files(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    use("mlflow", tmp_path)
    metric = next((tmp_path / "mlruns").rglob("metrics/loss"))
    assert [line.split()[1:] for line in metric.read_text("utf-8").splitlines()] == [
        ["0.5", "1"],
        ["0.25", "2"],
    ]


def test_none_and_unknown_and_missing(tmp_path, monkeypatch):
    assert trackers.make_tracker("none", "press", tmp_path, {}) is None
    with pytest.raises(BadInputError, match="it is none, tensorboard, wandb, mlflow"):
        trackers.check_tracker("comet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"pip install -r requirements-trackers.txt"):
        trackers.check_tracker("wandb")
