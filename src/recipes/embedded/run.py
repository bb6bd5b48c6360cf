"""Runs the recipe `embedded` in slices of minutes, and writes what it has reached as a pipeline
folder.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from src.core.devices import bf16_is_fast, cpu_threads
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import beside
from src.pipelines.blueprint import NANO, Blueprint
from src.pipelines.building import small_of
from src.pipelines.saving import load_tensors, writing
from src.recipes.embedded.decoder import DecoderRecipe
from src.recipes.embedded.parts import CODES, PreparedParts, prepare_parts, save_codes
from src.recipes.embedded.settings import EmbeddedSettings
from src.recipes.embedded.text import TextRecipe
from src.recipes.embedded.timed import FitToTime
from src.recipes.embedded.transformer import TransformerRecipe
from src.recipes.embedded.words import TEACHER, WordsRecipe, digest_of_encoder
from src.training.callbacks import Callback, ConsoleLog, CsvLog, Periodic
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer

RECIPES = {"decoder": DecoderRecipe, "text": TextRecipe, "transformer": TransformerRecipe,
           "words": WordsRecipe}  # fmt: skip
STAGES = tuple(RECIPES)
USUAL = tuple(name for name in STAGES if name != "words")
"""What each slice trains; words come once, when the transformer is done."""
START = "start"
LEAST = 0.5
"""Of its share of the time, what a stage trains at least, however long all took that came before
its first step.
"""
READ_OUT = "read_out"  # of the text stage; no part of the pipeline


@dataclass(frozen=True)
class Slice:
    """Minutes of training of some stages; the share of each stage is in the settings."""

    minutes: float
    stages: tuple[str, ...] = USUAL
    sheet_minutes: float = 0.0
    """A sample sheet this often; 0 for none."""
    fit: bool = False
    """Cut each stage's schedule to the time that it has, as it turns out."""


def train_slice(
    settings: EmbeddedSettings, folder: Path, piece: Slice, blueprint: Blueprint = NANO
) -> Path:
    """Train one slice in `folder`, resuming what lies there; returns the exported pipeline's
    folder.
    """
    folder, end = Path(folder), time.monotonic() + 60 * piece.minutes
    shares = [getattr(settings, name).share for name in piece.stages]
    with cpu_threads(settings.threads):
        for index, name in enumerate(piece.stages):
            left = (end - time.monotonic()) * shares[index] / sum(shares[index:])
            seconds = max(left, LEAST * 60 * piece.minutes * shares[index] / sum(shares))
            train_stage(name, settings, folder, seconds, piece.sheet_minutes, blueprint, piece.fit)
        return export_embedded(settings, folder, folder / "pipeline", blueprint)


def train_stage(
    name: str,
    settings: EmbeddedSettings,
    folder: Path,
    seconds: float,
    sheet_minutes: float = 0.0,
    blueprint: Blueprint = NANO,
    fit: bool = False,
) -> None:
    """Train one stage for `seconds`, from its newest checkpoint in `folder/name`; fit: end its
    schedule then.

    What goes before the first step (codes, tokenizer, weights onto the device) is part of the
    seconds, but takes no more of them than is left by LEAST.
    """
    until = time.monotonic() + seconds
    prepared, initial = prepare_parts(blueprint, settings, folder), _initial(folder, name)
    _load_average(prepared.pipeline, initial)
    if name == "words":
        _check_teacher(prepared, folder, initial)
    stage = getattr(settings, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe, fast = RECIPES[name](prepared, stage, settings, device), bf16_is_fast(device.type)
    trainer = Trainer(recipe, stage, settings.seed, CheckpointManager(folder / name), fast)
    resumed = trainer.resume()
    if not resumed:
        trainer.start_from(initial)
    where = f"resumes at step {trainer.step}" if resumed else "starts"
    logger.info("{} {} of {}, {}", name, where, stage.steps, "bfloat16" if fast else "float32")
    callbacks = _callbacks(name, settings, folder, sheet_minutes, blueprint)
    seconds = max(until - time.monotonic(), LEAST * seconds)
    trainer.run(seconds, [*callbacks, *([FitToTime(recipe, seconds)] if fit else [])])


def _check_teacher(prepared: PreparedParts, folder: Path, initial: dict[str, torch.Tensor]) -> None:
    """Words begin anew where the transformer's text encoder has moved on. Raises BadInputError
    where none has learned moves.
    """
    if not initial:
        raise BadInputError(
            f"{folder} has no text encoder that knows moves, which the stage words goes on from; "
            "train text or transformer first, or give --start-from"
        )
    state = CheckpointManager(folder / "words").latest()
    if state and not _is_of(state, prepared.pipeline):
        logger.warning("the text encoder has learned since; words begin anew")
        shutil.rmtree(folder / "words")
        (folder / "words.csv").unlink(missing_ok=True)


def _is_of(words: dict[str, Any], pipeline: Any) -> bool:
    """Whether a checkpoint of the stage words learned from the pipeline's text encoder."""
    return words["identity"].get(TEACHER) == digest_of_encoder(pipeline.text_encoder)


def start_from(pipeline: Path, folder: Path, blueprint: Blueprint = NANO) -> None:
    """Let a new run in `folder` begin with the weights and codes of an exported pipeline.

    A transformer of another form is left out, and begins anew.

    Raises MissingFileError where it is no exported pipeline, BadInputError where its codes are of
    another blueprint or a run is in `folder` already.
    """
    if not (pipeline / CODES).is_file():
        raise MissingFileError(
            f"{pipeline} holds no {CODES}; give a folder that train_embedded has exported"
        )
    if (folder / CODES).exists():
        raise BadInputError(
            f"{folder} holds a run already; give another --folder, or leave --start-from out"
        )
    differences = _differences(pipeline, blueprint)
    if told := [line for part, line in differences if part != "transformer"]:
        raise BadInputError(f"{pipeline} is of another form: {told[0]}; leave --start-from out")
    shutil.copytree(pipeline, folder / START)
    if differences:
        logger.warning("{}; the transformer begins anew", differences[0][1])
        shutil.rmtree(folder / START / "transformer")
    shutil.copy(pipeline / CODES, folder / CODES)
    shutil.copytree(pipeline / "tokenizer", folder / "tokenizer")


def _differences(pipeline: Path, blueprint: Blueprint) -> list[tuple[str, str]]:
    """The parts of the pipeline that have other sizes than the recipe's, each with a sentence."""
    found = []
    for part, wanted in small_of(blueprint).form(blueprint).items():
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        config = json.loads((pipeline / part / file).read_text(encoding="utf-8"))
        for name, value in wanted.items():
            if config.get(name) != value:
                said = f"its {part} has {name} {config.get(name)}, the recipe makes {value}"
                found.append((part, said))
    return found


def usual_stages(folder: Path) -> tuple[str, ...]:
    """The stages that a run trains unless told otherwise: a pipeline it started from has a text
    encoder already.

    The text stage alone would move it away from what the transformer learned: by half in twenty
    seconds.
    """
    return tuple(name for name in USUAL if name != "text" or not (folder / START).is_dir())


def _initial(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """What a stage begins with instead of untrained weights: an exported pipeline's, and the text
    encoder of the stage before.
    """
    weights = _read_trained(folder / START, name) if (folder / START).is_dir() else {}
    before = {"transformer": ("text",), "words": ("transformer", "text")}.get(name, ())
    states = (CheckpointManager(folder / stage).latest() for stage in before)
    learned = next((state["average"] for state in states if state), {})
    return weights | {
        key: tensor for key, tensor in learned.items() if key.startswith("text_encoder.")
    }


def _read_trained(pipeline: Path, name: str) -> dict[str, torch.Tensor]:
    """The weights of one stage from an exported pipeline, by the names of the recipe's module."""
    if name == "decoder":
        weights = _read_part(pipeline / "vae")
        return {key: tensor for key, tensor in weights.items() if key.startswith("decoder.")}
    parts = ("text_encoder",) if name in ("text", "words") else ("text_encoder", "transformer")
    return {
        f"{part}.{key}": tensor
        for part in parts
        for key, tensor in _read_part(pipeline / part).items()
    }


def _read_part(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a part, however many files hold them."""
    return {
        key: tensor
        for file in sorted(folder.glob("*.safetensors"))
        for key, tensor in load_tensors(file).items()
    }


def _callbacks(
    name: str, settings: EmbeddedSettings, folder: Path, sheet_minutes: float, blueprint: Blueprint
) -> list[Callback]:
    callbacks: list[Callback] = [CsvLog(folder / f"{name}.csv"), ConsoleLog()]
    if sheet_minutes:

        def sheet(step: int) -> None:
            from src.recipes.embedded.sheets import write_sheet

            pipeline = trained(settings, folder, blueprint)[0].pipeline
            write_sheet(pipeline, folder / "sheets" / f"{name}-{step:06d}.png", blueprint)

        callbacks.append(Periodic(sheet_minutes, sheet))
    return callbacks


def trained(
    settings: EmbeddedSettings, folder: Path, blueprint: Blueprint = NANO
) -> tuple[PreparedParts, dict[str, int]]:
    """The pipeline with the averaged weights of the newest checkpoints, and each stage's step.

    A stage that has not been trained here (step 0) has the weights that the run starts from.
    """
    folder = Path(folder)
    if not (folder / "codes.safetensors").is_file():
        raise MissingFileError(
            f"{folder} holds no training run; start one with python -m src.train_embedded"
        )
    prepared = prepare_parts(blueprint, settings, folder)
    steps = {}
    for name in STAGES:
        state = CheckpointManager(folder / name).latest()
        if name == "words" and state and not _is_of(state, prepared.pipeline):
            logger.warning("words were learned from another text encoder, and are left out")
            state = None
        steps[name] = state["step"] if state else 0
        _load_average(prepared.pipeline, state["average"] if state else _initial(folder, name))
    return prepared, steps


def _load_average(pipeline: Any, average: dict[str, torch.Tensor]) -> None:
    """Into parameters and buffers alike: the files of a pipeline with absolute positions hold these
    too.
    """
    owners = {"decoder": pipeline.vae, "text_encoder": pipeline, "transformer": pipeline}
    parts = {part: getattr(owner, part).state_dict() for part, owner in owners.items()}
    for name, tensor in average.items():
        part, _, rest = name.partition(".")
        if part != READ_OUT:
            parts[part][rest].copy_(tensor)  # a state dict shares the tensors of its module


def _load_as_float32(config: Path) -> None:
    """Have transformers read the text encoder in float32 unless told otherwise, as diffusers reads
    the other parts.
    """
    said = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(said | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


LARGEST = "14MB"
"""Of one file of weights in the repository; larger parts are split, as diffusers does it."""


def _write(prepared: PreparedParts, target: Path, partial: Path) -> None:
    """The folder as it is to be, in `partial`."""
    shutil.rmtree(partial, ignore_errors=True)
    save_codes(prepared.codes, partial / CODES)
    prepared.pipeline.to(dtype=torch.float16).save_pretrained(partial, max_shard_size=LARGEST)
    _load_as_float32(partial / "text_encoder" / "config.json")
    if (target / "README.md").is_file():
        shutil.copy(target / "README.md", partial)
    for file in partial.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner may read


def export_embedded(
    settings: EmbeddedSettings, folder: Path, target: Path, blueprint: Blueprint = NANO
) -> Path:
    """Write the averaged weights in fp16 as a diffusers folder, whole or not at all; a README there
    is kept. Raises OutputError, and what was there before stays then.
    """
    prepared, steps = trained(settings, folder, blueprint)
    target, partial = Path(target), beside(Path(target), "partial")
    try:
        with writing(target, "--export"):
            _write(prepared, target, partial)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logger.info(
        "{}: decoder step {}, transformer step {}", target, steps["decoder"], steps["transformer"]
    )
    return target
