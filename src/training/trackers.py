"""Where figures go besides the CSV: TensorBoard, Weights & Biases or MLflow, each only where it is
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from src.core.errors import BadInputError

REQUIREMENTS = "requirements-trackers.txt"


class Tracker(Protocol):
    """Takes figures by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `folder/tensorboard/RUN`."""

    def __init__(self, run: str, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard" / run))
        self._writer.add_text("config", str(dict(config)))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run in `folder/wandb`; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, run: str, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(project="newsreel", name=run, dir=str(folder), config=dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run in MLFLOW_TRACKING_URI, or without it in files at `folder/mlruns`."""

    def __init__(self, run: str, folder: Path, config: Mapping[str, Any]) -> None:
        import os

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow

        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name("newsreel")
        experiment = found.experiment_id if found else self._client.create_experiment("newsreel")
        self._id = self._client.create_run(experiment, run_name=run).info.run_id
        for name, value in config.items():
            self._client.log_param(self._id, name, str(value)[:500])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


TRACKERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def check_tracker(name: str) -> None:
    """Raise BadInputError for an unknown name, or where its package is missing, with the command
    that gets it.
    """
    from importlib.util import find_spec

    if name not in ("none", *TRACKERS):
        raise BadInputError(f"--tracker {name}: it is none, {', '.join(TRACKERS)}")
    if name != "none" and find_spec(name) is None:
        raise BadInputError(
            f"--tracker {name} needs a package that is not here: pip install -r {REQUIREMENTS}"
        )


def make_tracker(name: str, run: str, folder: Path, config: Mapping[str, Any]) -> Tracker | None:
    """The tracker called `name`; None for "none". folder: where its files go, unless its variables
    say otherwise.
    """
    check_tracker(name)
    return None if name == "none" else TRACKERS[name](run, folder, config)
