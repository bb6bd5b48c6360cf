"""What a training run would meet, found out before it starts: no GPU, no weights in memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, NewsreelError
from src.core.files import free_bytes
from src.core.paths import home
from src.core.progress import Listener, Progress, ignore
from src.core.request import Request
from src.datasets.clip_info import ClipInfo, ClipInfoCache, same_clip, thumb, thumbs_of
from src.datasets.manifest import Dataset, ManifestEntry
from src.engine.schedule import check_steps
from src.media.clips import Sampling
from src.media.images import read_photograph
from src.pipelines.families import family_of
from src.pipelines.locate import base_hash, weight_hashes
from src.pipelines.text import beyond
from src.recipes.lora.buckets import Batches, pick_bucket
from src.recipes.lora.encoding import ClipSource
from src.recipes.lora.encoding_cache import Encoders, encoders_of
from src.recipes.lora.estimates import Estimates, estimate
from src.recipes.lora.layers import trainable_share, training_of
from src.recipes.lora.recipe import Item
from src.recipes.lora.settings import LoraSettings, check_sizes, for_family
from src.training.optimizers import check_optimizer

SHOWN = 5
LARGEST_CROP = 0.25
"""Of the picture; more is warned of."""
OTHER_PICTURE = 12.0
"""Mean levels between small pictures from which an image is not taken for a clip's first frame."""


@dataclass
class Preflight:
    """What was found. problems: sentences for which training is refused; warnings: it would run all
    the same.

    items, held_out: ready for the recipe. share: trainable part of the base.
    """

    settings: LoraSettings
    spec: ModelSpec
    folder: Path
    dataset: Dataset
    encoders: Encoders
    base_sha256: str
    items: list[Item] = field(default_factory=list)
    held_out: list[Item] = field(default_factory=list)
    share: float = 0.0
    steps: int = 0
    steps_per_epoch: int = 0
    estimates: Estimates | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise BadInputError with the first problem and how many more there are."""
        if self.problems:
            more = len(self.problems) - 1
            raise BadInputError(
                self.problems[0] + (f" (and {more} more: --dry-run lists them)" if more else "")
            )

    def report(self) -> dict[str, Any]:
        """Plain types, for people and for --json."""
        lengths = Counter(f"{i.source.sampling.num_frames} frames at {i.source.sampling.width}x"
                          f"{i.source.sampling.height}" for i in self.items)  # fmt: skip
        return {
            "model": self.spec.id,
            "clips": len({item.source.key for item in self.items}),
            "captions": len(self.items),
            "held_out": len(self.held_out),
            "buckets": dict(lengths),
            "rank": self.settings.rank,
            "trainable_share": round(self.share, 5),
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "predicted": asdict(self.estimates) if self.estimates else None,
            "warnings": self.warnings,
            "problems": self.problems,
        }


def preflight(
    settings: LoraSettings, spec: ModelSpec, folder: Path, dataset: Dataset, dtype: str,
    output: Path, processes: int = 1, predict: bool = True, listener: Listener = ignore,
) -> Preflight:  # fmt: skip
    """Look at everything; collects problems instead of raising the first. predict: measure the
    machine's speed too.
    """
    family, training = family_of(spec), training_of(spec)
    settings = for_family(settings, family)
    encoders = encoders_of(family, weight_hashes(folder), dtype, spec.max_sequence_length)
    found = Preflight(settings, spec, folder, dataset, encoders, base_hash(folder))
    _try(found, lambda: check_sizes(settings, spec))
    _try(found, lambda: check_optimizer(settings.optimizer))
    _try(found, lambda: _check_processes(settings, processes))
    _try(found, lambda: _check_samples(found))
    transformer = training.shapes(folder)
    _try(found, lambda: setattr(found, "share", trainable_share(transformer, settings)))
    if settings.token_frames:
        _try(found, lambda: training.check_some_frames(transformer))
        _try(found, lambda: _check_followed(settings, training.objective(folder).held))
    facts = _look_at_clips(found, listener)
    _compare(found, facts)
    _check_captions(found)
    _count_steps(found)
    if found.items and found.share:
        rate = predict and not found.problems
        found.estimates = estimate(
            transformer, settings, spec, found.items, encoders, found.steps, rate, processes
        )
        _check_space(found, output)
    return found


def buckets_of(settings: LoraSettings, spec: ModelSpec) -> list[Sampling]:
    """Every length with every size."""
    frames = settings.frames or (spec.defaults.num_frames,)
    sizes = settings.sizes or ((spec.native.width, spec.native.height),)
    fps = settings.fps or spec.defaults.fps
    return [Sampling(count, fps, width, height) for count in frames for width, height in sizes]


def _try(found: Preflight, check: Any) -> None:
    try:
        check()
    except NewsreelError as error:
        found.problems.append(str(error))


def _check_followed(settings: LoraSettings, held: int) -> None:
    """Raise BadInputError where token frames are single latent frames and seldom neighbours."""
    if settings.steady and held == 1 and (settings.token_frames == 2 or not settings.contiguous):
        raise BadInputError(
            "steady: a token of this model holds one latent frame, and token_frames "
            f"{settings.token_frames} without neighbours have no change between them; take 3 or "
            "more with contiguous, or leave token_frames out"
        )


def _check_processes(settings: LoraSettings, processes: int) -> None:
    pieces = processes * settings.accumulation
    if settings.batch_size % pieces:
        raise BadInputError(
            f"batch_size {settings.batch_size} does not divide into {processes} processes x "
            f"{settings.accumulation} "
            f"pieces; nearest: {max(1, round(settings.batch_size / pieces)) * pieces}"
        )


def _check_samples(found: Preflight) -> None:
    """Raise BadInputError where the scheduler cannot make so many steps as samples shall take."""
    steps = found.settings.samples.num_inference_steps
    if steps and found.settings.samples.every:
        check_steps(steps, Request(input_image=Path("any"), mode="baseline"), found.spec)


def _look_at_clips(found: Preflight, listener: Listener) -> dict[Path, ClipInfo]:
    """What is known of each video, once; entries whose clip cannot be used become problems."""
    memory, facts = ClipInfoCache(), {}
    buckets = buckets_of(found.settings, found.spec)
    for number, entry in enumerate(found.dataset.entries, start=1):
        try:
            item = _item(found, entry, memory, facts, buckets)
            (found.held_out if entry.split == "held_out" else found.items).append(item)
        except NewsreelError as error:
            found.problems.append(f"{entry.id}: {error}")
        listener(Progress("look", number, len(found.dataset.entries)))
    memory.save()
    return facts


def _item(
    found: Preflight,
    entry: ManifestEntry,
    memory: ClipInfoCache,
    facts: dict[Path, ClipInfo],
    buckets: Sequence[Sampling],
) -> Item:
    video, image = found.dataset.video(entry), found.dataset.image(entry)
    fresh = video not in facts
    looked = facts.setdefault(video, memory.facts(video)) if fresh else facts[video]
    size = pick_bucket(looked.frames, looked.rate, looked.width, looked.height, buckets, str(video))
    last = looked.rate * (size.num_frames - 1) / size.fps
    if fresh and any(cut <= last for cut in looked.cuts):
        found.warnings.append(
            f"{entry.id}: {video.name} cuts to another shot at frame {looked.cuts[0]}"
        )
    if fresh:
        _check_crop(found, entry, looked, size)
    digest = memory.sha256(image) if image else ""
    if image and fresh:
        _check_first(found, entry, image, looked)
    key = found.encoders.clip_address(looked.sha256, digest, size, found.settings.image_noises)
    return Item(entry.id, ClipSource(entry.id, video, image, size, key), entry.prompt)


def _check_crop(found: Preflight, entry: ManifestEntry, looked: ClipInfo, size: Sampling) -> None:
    """Warn where filling the bucket's shape cuts off more than a quarter of what is shown."""
    shapes = looked.width / looked.height, size.width / size.height
    lost = 1 - min(shapes) / max(shapes)
    if lost > LARGEST_CROP:
        found.warnings.append(
            f"{entry.id}: {lost:.0%} of the picture is cropped away, "
            f"{looked.width}x{looked.height} to the shape of "
            f"{size.width}x{size.height}; a size in `sizes` that is nearer keeps it"
        )


def _check_first(found: Preflight, entry: ManifestEntry, image: Path, looked: ClipInfo) -> None:
    """Warn where the image is not the picture that the clip begins with: the model would learn a
    jump.
    """
    pixels = read_photograph(image).pixels
    height, width = pixels.shape[:2]
    first = thumbs_of(looked)[0].astype(int)
    apart = float(np.abs(thumb(pixels).astype(int) - first).mean())
    shape = abs(math.log(width / height * looked.height / looked.width))
    if apart > OTHER_PICTURE and shape < 0.1:
        found.warnings.append(
            f"{entry.id}: {image.name} is not the first frame of {entry.video_path} (they differ "
            f"by {apart:.0f} of 255 "
            "levels); leave image_path empty to take the clip's own"
        )


def _compare(found: Preflight, facts: dict[Path, ClipInfo]) -> None:
    """The same clip twice is a warning; on both sides of the split it is a problem."""
    training = {item.source.video: item.name for item in found.items}
    held_out = {item.source.video: item.name for item in found.held_out}
    apart = _told_apart(found)
    paths = list(training)

    def twin_of(video: Path, others: Sequence[Path]) -> Path | None:
        return next((other for other in others if video == other or (
            frozenset((video, other)) not in apart and same_clip(facts[video], facts[other]))),
                    None)  # fmt: skip

    for video, name in held_out.items():
        twin = twin_of(video, paths)
        if twin is not None:
            found.problems.append(
                f"leakage: held-out {name} shows the same clip as {training[twin]}; drop one of "
                "them, or, if you have "
                f'looked and they differ, write "differs_from": ["{training[twin]}"] into {name}'
            )
    for index, first in enumerate(paths):
        twin = twin_of(first, paths[:index])
        if twin is not None:
            found.warnings.append(
                f"duplicate: {training[first]} shows the same clip as {training[twin]}"
            )
    if not held_out:
        found.warnings.append(
            "no held-out clips: without them nothing tells learning from remembering"
        )


def _told_apart(found: Preflight) -> set[frozenset[Path]]:
    """Pairs of videos that somebody has looked at and says are others. An id that is none is a
    problem.
    """
    videos = {entry.id: found.dataset.video(entry) for entry in found.dataset.entries}
    pairs = set()
    for entry in found.dataset.entries:
        for other in entry.differs_from:
            if other not in videos:
                found.problems.append(
                    f"{entry.id}: differs_from names {other!r}, which is no id of this manifest"
                )
            else:
                pairs.add(frozenset((videos[entry.id], videos[other])))
    return pairs


def _check_captions(found: Preflight) -> None:
    from src.pipelines.loading import read_tokenizer

    tokenizer = read_tokenizer(found.folder)
    limit = found.spec.max_sequence_length
    for item in found.items + found.held_out:
        cut = beyond(tokenizer, item.prompt, limit)
        if cut:
            found.warnings.append(
                f"{item.name}: the caption is over {limit} tokens; not read: {cut[:60]!r}"
            )


def _count_steps(found: Preflight) -> None:
    buckets: dict[Sampling, list[int]] = {}
    for index, item in enumerate(found.items):
        buckets.setdefault(item.source.sampling, []).append(index)
    settings = found.settings
    found.steps_per_epoch = Batches(
        buckets, settings.batch_size, settings.repeats, settings.seed
    ).steps_per_epoch
    whole = settings.epochs * found.steps_per_epoch
    found.steps = min(whole, settings.steps) if settings.steps else whole


def _check_space(found: Preflight, output: Path) -> None:
    needed, free = found.estimates.disk_bytes, min(free_bytes(output), free_bytes(home()))
    if needed > free:
        found.problems.append(
            f"no space: the run needs about {needed / 1e9:.2f} GB of disk at {output}, "
            f"{free / 1e9:.2f} GB are free"
        )
