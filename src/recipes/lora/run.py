"""Runs the recipe `lora`: preflight, encodings, then the loop; writes adapters, state, figures and
samples.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from loguru import logger

from src.core.devices import bf16_is_fast, find_device
from src.core.errors import MissingFileError
from src.core.paths import home
from src.core.progress import Listener, ignore
from src.pipelines.loading import DTYPES, read_pipeline
from src.recipes.lora.callbacks import EpochEnd, Metrics
from src.recipes.lora.encoding import Share, encode_clips, encode_texts
from src.recipes.lora.encoding_cache import EncodingCache
from src.recipes.lora.files import Origin, adapter_state, header, write_adapter
from src.recipes.lora.layers import add_adapter, block_list, trained_part, training_of
from src.recipes.lora.preflight import Preflight
from src.recipes.lora.recipe import Item, LoraRecipe
from src.recipes.lora.samples import SampleMaker
from src.recipes.lora.settings import LoraSettings
from src.training.callbacks import Callback, ConsoleLog
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer
from src.training.nodes import local_count, sees_one_disk
from src.training.sharding import held_bytes, shard_frozen
from src.training.trackers import Tracker, make_tracker

WAIT = timedelta(hours=6)
"""How long processes wait for each other: encoding and sampling take longer than the
usual minutes.
"""
MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class LoraRun:
    """Where a run writes and how it goes on. resume: None, "latest", or a checkpoint's folder.
    store: URL of a bucket that gets each state too; None: only the disk.
    """

    output: Path
    resume: str | None = None
    tracker: str = "none"
    store: str | None = None

    @property
    def name(self) -> str:
        return self.output.resolve().name


@dataclass(frozen=True)
class Making:
    """What a recipe of adapters does its own way. recipe: makes it, with what `LoraRecipe` takes.
    prepare: is given the transformer with its new adapter. header: further strings for the header
    of what is written. A run that is resumed must agree in name and header.
    """

    name: str = LoraRecipe.name
    recipe: Callable[..., LoraRecipe] = LoraRecipe
    prepare: Callable[[Any], None] = lambda _: None
    header: Mapping[str, str] = field(default_factory=dict)


CLIPS_TEACH = Making()


def run_dtype(settings: LoraSettings) -> str:
    """The dtype that the frozen weights have and the forward runs in."""
    named = {"float32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    if settings.precision != "auto":
        return named[settings.precision]
    return "bfloat16" if bf16_is_fast(find_device()) else "float32"


def make_accelerator(dtype: str) -> Accelerator:
    """Precision and processes of a run."""
    return Accelerator(
        mixed_precision=MIXED[dtype], kwargs_handlers=[InitProcessGroupKwargs(timeout=WAIT)]
    )  # fmt: skip


def encode_all(
    found: Preflight, device: torch.device, share: Share, listener: Listener = ignore
) -> tuple[int, int]:
    """Fill the cache; returns how many clips and captions this process encoded."""
    cache, folder = EncodingCache(), found.folder
    items = found.items + found.held_out
    clips = share.of(list({item.source.key: item.source for item in items}.values()))
    texts = share.of(
        list(dict.fromkeys(["", *(item.prompt for item in items), *found.settings.samples.prompts]))
    )
    noises, dtype = found.settings.image_noises, found.encoders.dtype
    return (
        encode_clips(folder, clips, noises, dtype, device, cache, listener),
        encode_texts(folder, texts, found.encoders, device, cache, listener),
    )


def build_trainer(
    found: Preflight, checkpoints: CheckpointManager, accelerator: Accelerator,
    making: Making = CLIPS_TEACH,
) -> tuple[Trainer, LoraRecipe]:  # fmt: skip
    """The transformer with its adapter, in a trainer that has not run yet; encodings must be in the
    cache.
    """
    settings = found.settings
    part = trained_part(found.spec)
    transformer = getattr(read_pipeline(found.folder, DTYPES[found.encoders.dtype], (part,)), part)
    torch.manual_seed(settings.seed)  # the adapter's A is drawn from it: the same in every process
    add_adapter(transformer, settings)
    making.prepare(transformer)
    if is_sharded(found, accelerator):
        shard_frozen(transformer, block_list(found.spec, transformer), accelerator.device)
    share = Share(accelerator.process_index, accelerator.num_processes)
    objective = training_of(found.spec).objective(found.folder)
    recipe = making.recipe(
        transformer, found.items, settings, objective, found.encoders, EncodingCache(), share,
        identity_of(found) | {"recipe": making.name} | making.header
    )  # fmt: skip
    loop = settings.loop(found.steps)
    trainer = Trainer(recipe, loop, settings.seed, checkpoints, bf16=False, accelerator=accelerator)
    # what dropout draws from: each process its own
    torch.manual_seed(settings.seed + accelerator.process_index)
    return trainer, recipe


def is_sharded(found: Preflight, accelerator: Accelerator) -> bool:
    """Whether each process holds a part of the base; alone it holds all."""
    return found.settings.shard_base and accelerator.num_processes > 1


def identity_of(found: Preflight) -> dict[str, str]:
    """What a checkpoint and a run that resumes it must have in common."""
    settings = found.settings
    return {
        "base": found.base_sha256[:12],
        "manifest": found.dataset.sha256[:12],
        "rank": str(settings.rank),
        "alpha": f"{settings.scale_alpha:g}",
        "targets": ",".join(settings.layers),
        "seed": str(settings.seed),
        "batch_size": str(settings.batch_size),
        "repeats": str(settings.repeats),
    }


def train(
    found: Preflight, run: LoraRun, accelerator: Accelerator, listener: Listener = ignore,
    making: Making = CLIPS_TEACH,
) -> Path:  # fmt: skip
    """Train to the end; returns the final adapter's folder.

    Raises DivergedError, OutputError or CancelledError; the last good checkpoint is kept in
    `output/state`.
    """
    found.check()
    checkpoints = _checkpoints(run, accelerator)
    share = Share(accelerator.process_index, accelerator.num_processes)
    mine = share if sees_one_disk(accelerator, home()) else _share_of_machine(accelerator)
    encoded = encode_all(found, accelerator.device, mine, listener)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        logger.info("encoded {} clips and {} captions; the others were in the cache", *encoded)
        _make_room(run)
    accelerator.wait_for_everyone()
    trainer, recipe = build_trainer(found, checkpoints, accelerator, making)
    begin = _resume(trainer, run)
    _announce(found, trainer)
    write = _writer(found, recipe, run, making)
    shown = _shown(found)
    maker = SampleMaker(
        found.folder, found.spec, found.encoders, EncodingCache(), found.settings.samples
    )
    measured = Share() if is_sharded(found, accelerator) else share
    epoch_end = EpochEnd(recipe, found.held_out, shown, maker, write, run.name, measured)
    tracker = _tracker(found, run) if accelerator.is_main_process else None
    try:
        trainer.run(float("inf"), _callbacks(begin, trainer, recipe, epoch_end, run, tracker))
    finally:
        if tracker is not None:
            tracker.close()
    final = run.output / "adapter_final"
    if accelerator.is_main_process:
        epochs = -(-trainer.step // recipe.batches.steps_per_epoch)
        final = write("adapter_final", epochs, trainer.step).parent
        logger.info("{}", final)
    accelerator.wait_for_everyone()
    return final


def _share_of_machine(accelerator: Accelerator) -> Share:
    """Of what this machine's own cache lacks: no other one fills it."""
    return Share(accelerator.local_process_index, local_count())


def _make_room(run: LoraRun) -> None:
    """A new run moves an earlier one of the same folder aside instead of mixing with it or deleting
    it.
    """
    if run.resume is not None or not (run.output / "state").is_dir():
        return
    former = run.output.with_name(f"{run.output.name}-previous")
    shutil.rmtree(former, ignore_errors=True)
    run.output.rename(former)
    logger.warning("{} held a run; it is kept as {}", run.output, former)


def _checkpoints(run: LoraRun, accelerator: Accelerator) -> CheckpointManager:
    """The first process has the store, which the others hear from. Raises BadInputError where it
    cannot be used as it is set.
    """
    state = run.output / "state"
    if run.store is None or not accelerator.is_main_process:
        return CheckpointManager(state)
    from src.artifacts.registry import open_s3
    from src.training.stored_checkpoints import StoredCheckpoints

    return StoredCheckpoints(state, open_s3(run.store), run.name)


def _resume(trainer: Trainer, run: LoraRun) -> int:
    """The step to begin at. Raises MissingFileError where there is nothing to resume."""
    if run.resume is None:
        return 0
    folder = None if run.resume == "latest" else Path(run.resume)
    if not trainer.resume(folder):
        raise MissingFileError(
            f"--resume latest: {run.output / 'state'} holds no checkpoint; leave --resume out"
        )
    return trainer.step


def _announce(found: Preflight, trainer: Trainer) -> None:
    if trainer.accelerator.is_main_process:
        where = f"resumes after step {trainer.step}" if trainer.step else "starts"
        logger.info(
            "{} on {}: {:.2%} of the parameters train, {} clips, {} steps, {}; {}",
            trainer.recipe.name, found.spec.id, found.share, len(found.items), found.steps,
            found.encoders.dtype, where,
        )  # fmt: skip
        if is_sharded(found, trainer.accelerator):
            own = held_bytes(trainer.recipe.model) / 1e6
            logger.info("the base is sharded: this process holds {:.3f} MB of weights", own)


def _shown(found: Preflight) -> list[Item]:
    """What samples are made of: held-out pictures where there are some, with their own or the
    settings' prompts.
    """
    from dataclasses import replace

    samples = found.settings.samples
    items = (found.held_out or found.items)[: samples.count]
    if not samples.prompts:
        return items
    return [
        replace(item, prompt=samples.prompts[k % len(samples.prompts)])
        for k, item in enumerate(items)
    ]


def _writer(found: Preflight, recipe: LoraRecipe, run: LoraRun, making: Making):
    origin = Origin(
        found.spec.source, found.base_sha256, found.dataset.sha256, found.dataset.rights()
    )

    def write(name: str, epoch: int, step: int) -> Path:
        metadata = header(found.settings, origin, epoch, step) | making.header
        return write_adapter(run.output / name, adapter_state(recipe.transformer), metadata)

    return write


def _tracker(found: Preflight, run: LoraRun) -> Tracker | None:
    config = found.settings.model_dump(mode="json") | {
        "model": found.spec.id,
        "manifest": found.dataset.sha256,
    }
    return make_tracker(run.tracker, run.name, home(), config)


def _callbacks(
    begin: int,
    trainer: Trainer,
    recipe: LoraRecipe,
    epoch_end: EpochEnd,
    run: LoraRun,
    tracker: Tracker | None,
) -> list[Callback]:
    callbacks: list[Callback] = [epoch_end]
    if begin == 0:
        epoch_end.measure(trainer)
    if not trainer.accelerator.is_main_process:
        return callbacks
    metrics = Metrics(run.name, begin, recipe.batches.steps_per_epoch, epoch_end, tracker)
    if begin == 0:
        metrics.log(0, {"held_out_loss": epoch_end.held_out_loss})
    return [*callbacks, metrics, ConsoleLog()]
