"""Runs the recipe `upscaler` in slices of minutes, and writes what it has reached as one
safetensors file.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from loguru import logger

from src.core.devices import bf16_is_fast, cpu_threads
from src.core.errors import BadInputError, MissingFileError
from src.recipes.upscaler.recipe import UpscalerRecipe
from src.recipes.upscaler.settings import UpscalerSettings
from src.recipes.upscaler.starting import weights_from
from src.training.callbacks import ConsoleLog, CsvLog
from src.training.checkpoints import CheckpointManager, check_same_network
from src.training.loop import Trainer
from src.upscaling.network import VideoNetwork, build_network
from src.upscaling.presets import network_spec
from src.upscaling.weights import load_network, save_network

SETTINGS = "settings.json"


def train_upscaler_slice(
    settings: UpscalerSettings, folder: Path, minutes: float, start_from: Path | None = None
) -> None:
    """Train for some minutes in `folder`, resuming what lies there.

    start_from: a weights file that a new run begins with; what has less room than there is fitted
    (`narrowing.py`), blocks that are not there add nothing at first, and what has another shape
    (another scale's last layer) stays untrained. Raises BadInputError where no layer fits, and
    where `folder` holds a run that has begun.
    """
    folder = Path(folder)
    recipe = UpscalerRecipe(settings)
    checkpoints = CheckpointManager(folder / "checkpoints")
    fast = torch.cuda.is_available() and bf16_is_fast("cuda")
    trainer = Trainer(recipe, settings.schedule, settings.seed, checkpoints, fast)
    if start_from is not None and checkpoints.steps():
        raise BadInputError(
            f"{folder} holds a run already; give another --folder, or leave --start-from out"
        )
    resumed = trainer.resume()
    if start_from is not None:
        own = cast(VideoNetwork, recipe.model)
        trainer.start_from(weights_from(load_network(start_from), own))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    where = f"resumes at step {trainer.step}" if resumed else "starts"
    logger.info("{} {} of {}", recipe.name, where, settings.schedule.steps)
    with cpu_threads(settings.threads):
        trainer.run(60 * minutes, [CsvLog(folder / "log.csv"), ConsoleLog()])


def export_upscaler(settings: UpscalerSettings, folder: Path, target: Path) -> Path:
    """Write the averaged weights of the newest checkpoint. Raises MissingFileError where there is
    none.
    """
    state = CheckpointManager(Path(folder) / "checkpoints").latest()
    if state is None:
        raise MissingFileError(
            f"{folder} holds no training run; start one with python -m src.train_upscaler"
        )
    network = build_network(network_spec(settings.preset, settings.scale))
    check_same_network(state["average"], network.named_parameters())
    network.load_state_dict(state["average"])
    logger.info("{} {}x: step {}", settings.preset, settings.scale, state["step"])
    return save_network(network, target, state["step"])
