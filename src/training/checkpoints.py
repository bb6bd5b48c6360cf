"""The one checkpoint manager: whole folders under a final name, the last two kept, resumed bit for
bit.
"""

from __future__ import annotations

import os
import pickle
import platform
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from src.core.errors import BadInputError, DivergedError, MissingFileError, OutputError
from src.core.finite import first_not_finite

STATE = "state.pt"


class CheckpointManager:
    """Saves training state as `folder/step-00001234/state.pt`.

    A checkpoint is written beside its final name and renamed, so that an interruption or a full
    disk leaves the last good one. Only files that this class wrote are loaded, with
    `weights_only=True`.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write the state of `step` and drop what is older than the last `keep`.

        Raises OutputError where it cannot be written, DivergedError where its weights are not
        finite; earlier checkpoints are untouched then.
        """
        damaged = _not_finite(state)
        if damaged:
            raise DivergedError(
                f"{damaged} is not finite after step {step}; the last checkpoint is intact, try a "
                "lower rate.peak"
            )
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f".step-{step:08d}-{platform.node()}-{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True, exist_ok=True)
            torch.save(dict(state), partial / STATE)
            if final.exists():
                shutil.rmtree(final)
            partial.rename(final)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            shutil.rmtree(partial, ignore_errors=True)
            raise OutputError(
                f"checkpoint {final} could not be written: {error}; free some disk space"
            ) from None
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"step-{old:08d}")
        return final

    def steps(self) -> list[int]:
        """The steps of all whole checkpoints, in numerical order."""
        found = [path for path in self.folder.glob("step-*") if (path / STATE).is_file()]
        return sorted(int(path.name.removeprefix("step-")) for path in found)

    def latest(self) -> dict[str, Any] | None:
        """The state of the highest step, on the CPU; None where there is none."""
        steps = self.steps()
        if not steps:
            return None
        return read_state(self.folder / f"step-{steps[-1]:08d}")


def read_state(folder: Path) -> dict[str, Any]:
    """The state in one checkpoint's folder, on the CPU.
    Raises MissingFileError or BadInputError.
    """
    file = Path(folder) / STATE
    if not file.is_file():
        raise MissingFileError(
            f"{folder} holds no checkpoint ({STATE}); give a folder such as .../state/step-00000100"
        )
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise BadInputError(
            f"{file} is no checkpoint of ours: {str(error).splitlines()[0]}"
        ) from None
    damaged = _not_finite(state)
    if damaged:
        raise BadInputError(
            f"{file}: {damaged} holds numbers that are not finite; resume from an earlier "
            "checkpoint"
        )
    return state


def _not_finite(state: Mapping[str, Any]) -> str | None:
    """The first of the state's weights that is not finite."""
    weights = {
        name: tensor
        for part in ("model", "average")
        for name, tensor in state.get(part, {}).items()
    }
    return first_not_finite(weights.items())


def check_same_network(
    saved: Mapping[str, torch.Tensor], own: Iterable[tuple[str, torch.Tensor]]
) -> None:
    """Raise BadInputError unless the weights of a checkpoint are those of this network: all of
    them, for one network may be another with more blocks.
    """
    there, here = ({n: tuple(t.shape) for n, t in each} for each in (saved.items(), own))
    for name in here | there:
        if there.get(name) != here.get(name):
            found, wanted = (each.get(name, "not there") for each in (there, here))
            raise BadInputError(
                f"the checkpoint is of another network: its {name} is {found}, here it is "
                f"{wanted}; start anew in another folder"
            )
