"""Runs the recipe `preview` in slices of minutes, and writes what it has reached beside the
model.
"""

from __future__ import annotations

from pathlib import Path

import torch
from loguru import logger

from src.catalog.spec import ModelSpec
from src.core.devices import bf16_is_fast, cpu_threads
from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.pipelines.locate import locate
from src.pipelines.preview_decoder import PreviewDecoder, load_preview, save_preview
from src.pipelines.preview_files import VAE, PreviewFile
from src.pipelines.tensor_files import read_tensor_file
from src.recipes.preview.recipe import PreviewRecipe, fitted_decoder
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import Taught, read_taught
from src.training.callbacks import ConsoleLog, CsvLog
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer

START = "start.safetensors"
"""The decoder before its first step: the linear fit."""


def train_preview_slice(
    spec: ModelSpec, settings: PreviewSettings, folder: Path, minutes: float
) -> None:
    """Train for some minutes in `folder`, resuming what lies there.

    Raises BadInputError where that is of another VAE, or of other sizes.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with cpu_threads(settings.threads):
        taught = read_taught(spec, locate(spec), settings, device)
        recipe = PreviewRecipe(taught, settings, _begun(taught, settings, folder))
        fast = device.type == "cuda" and bf16_is_fast("cuda")
        checkpoints = CheckpointManager(folder / "checkpoints")
        trainer = Trainer(recipe, settings.schedule, settings.seed, checkpoints, fast)
        where = f"resumes at step {trainer.step}" if trainer.resume() else "starts"
        logger.info("{} {} of {}", recipe.name, where, settings.schedule.steps)
        trainer.run(60 * minutes, [CsvLog(folder / "log.csv"), ConsoleLog()])


def _begun(taught: Taught, settings: PreviewSettings, folder: Path) -> PreviewDecoder:
    """The linear fit: made once, and read back from `folder`."""
    file = Path(folder) / START
    if not file.is_file():
        save_preview(fitted_decoder(taught, settings), taught.sha256, file, 0)
    if dict(read_tensor_file(file).metadata)[VAE] != taught.sha256:
        raise BadInputError(
            f"{folder} holds the run of another VAE; give --folder for a run of {taught.spec.id}"
        )
    return load_preview(PreviewFile(file, taught.form, sha256_of(file))).train()


def export_preview(spec: ModelSpec, settings: PreviewSettings, folder: Path, target: Path) -> Path:
    """Write the averaged weights of the newest checkpoint. Raises MissingFileError where there is
    none.
    """
    state = CheckpointManager(Path(folder) / "checkpoints").latest()
    if state is None:
        raise MissingFileError(
            f"{folder} holds no training run; start one with python -m src.train_preview --model "
            f"{spec.id}"
        )
    taught = read_taught(spec, locate(spec), settings, torch.device("cpu"))
    decoder = _begun(taught, settings, folder)
    decoder.load_state_dict(decoder.state_dict() | dict(state["average"]))
    logger.info("preview decoder of {}: step {}", spec.id, state["step"])
    return save_preview(decoder, taught.sha256, target, state["step"])
