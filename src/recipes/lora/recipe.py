"""The recipe `lora`: the family's objective on cached latents,
for an adapter on attention layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src.pipelines.learning import Objective
from src.pipelines.loading import DTYPES
from src.pipelines.steadiness import followed
from src.recipes.lora.buckets import Batches, Draw, sample_seed
from src.recipes.lora.encoding import ClipSource, Share, sample_latents
from src.recipes.lora.encoding_cache import Encoders, EncodingCache
from src.recipes.lora.settings import LoraSettings
from src.training.recipe import Recipe

ALONE = Share()


@dataclass(frozen=True)
class Item:
    """One entry of the manifest, ready: its clip's address and its caption."""

    name: str
    source: ClipSource
    prompt: str


class LoraRecipe(Recipe):
    """What `Trainer` trains. Items of one epoch come in buckets; `batch` reads the cache and draws
    all that is random.

    identity: what a checkpoint must agree with to be resumed.
    """

    name = "lora"

    def __init__(
        self, transformer: nn.Module, items: Sequence[Item], settings: LoraSettings,
        objective: Objective, encoders: Encoders, cache: EncodingCache, share: Share = ALONE,
        identity: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.transformer, self.items, self.settings, self.objective = (
            transformer,
            items,
            settings,
            objective,
        )
        self.encoders, self.cache, self.share, self.identity = (
            encoders,
            cache,
            share,
            identity or {},
        )
        if settings.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self.plain = objective.denoiser(transformer, DTYPES[encoders.dtype])
        self.plain.train()
        self.model: nn.Module = self.plain
        self._last: tuple[list[str], Tensor] = ([], torch.zeros(0))
        buckets: dict[Any, list[int]] = {}
        for index, item in enumerate(items):
            buckets.setdefault(item.source.sampling, []).append(index)
        self.batches = Batches(buckets, settings.batch_size, settings.repeats, settings.seed)

    def batch(self, step: int) -> list[Any]:
        """This process's samples of a step, in `accumulation` pieces."""
        draws = self.share.of(self.batches.batch(step)[1])
        samples = [self.draw(self.items[draw.clip], draw) for draw in draws]
        size = len(samples) // self.settings.accumulation
        pieces = [_collate(samples[k : k + size]) for k in range(0, len(samples), size)]
        return [self._steadied(self._shown(piece, step)) for piece in pieces]

    def _shown(self, piece: dict[str, Any], step: int) -> dict[str, Any]:
        """The piece as a step of training holds it: whole, or some of its token frames."""
        generator = torch.Generator().manual_seed(sample_seed("whole", self.settings.seed, step))
        if float(torch.rand(1, generator=generator)) < self.settings.whole:
            return piece
        return self._some_frames(piece, step, self.settings.contiguous)

    def _some_frames(
        self, piece: dict[str, Any], step: int | str, contiguous: float = 0.0
    ) -> dict[str, Any]:
        """The piece with as many token frames as the settings say, the same in all processes.
        contiguous: the chance that the others are neighbours.
        """
        held, count = self.objective.held, self.settings.token_frames
        total = piece["clean"].shape[1] // held
        if count is None or count >= total:
            return piece
        generator = torch.Generator().manual_seed(sample_seed("frames", self.settings.seed, step))
        others = 1 + torch.randperm(total - 1, generator=generator)[: count - 1].sort().values
        if float(torch.rand(1, generator=generator)) < contiguous:
            first = 1 + int(torch.randint(total - count + 1, (1,), generator=generator))
            others = torch.arange(first, first + count - 1)
        groups = torch.cat([torch.zeros(1, dtype=torch.long), others])
        shown = (groups[:, None] * held + torch.arange(held)).flatten()
        cut = {name: piece[name][:, shown] for name in ("clean", "noise")}
        return piece | cut | {"groups": groups, "token_frames": total}

    def _steadied(self, piece: dict[str, Any]) -> dict[str, Any]:
        """The piece with what the objective needs to count how evenly it moves."""
        if not self.settings.steady:
            return piece
        held = self.objective.held
        groups = piece.get("groups", torch.arange(piece["clean"].shape[1] // held))
        follows = followed(groups, held, int(piece["padding"][0]))
        return piece | {"follows": follows, "steady": self.settings.steady}

    def draw(self, item: Item, draw: Draw) -> dict[str, Any]:
        """One sample, all on the CPU and from one generator: posterior, noise, timestep, image
        noise and dropouts.
        """
        generator = torch.Generator().manual_seed(draw.seed)
        entry = self.cache.read(item.source.key)
        timestep = self._timestep(generator)
        which = int(torch.randint(len(entry["images"]), (1,), generator=generator))
        kept, said = torch.rand(2, generator=generator).tolist()
        prompt = item.prompt if said >= self.settings.caption_dropout else ""
        shown = torch.tensor(kept >= self.settings.image_dropout)
        return self._sample(item, entry, generator, timestep, which, shown, prompt)

    def _timestep(self, generator: torch.Generator) -> float:
        last = self.settings.last_timestep
        if last and float(torch.rand(1, generator=generator)) < last:
            return self.objective.noisiest
        return self.objective.timestep(generator, self.settings.high_noise)

    def _sample(
        self, item: Item, entry: dict[str, Tensor], generator: torch.Generator, timestep: float,
        which: int, shown: Tensor, prompt: str,
    ) -> dict[str, Any]:  # fmt: skip
        clean = self.objective.clean(
            sample_latents(entry["mean"].float(), entry["logvar"].float(), generator)
        )
        return {
            "clean": clean, "noise": torch.randn(clean.shape, generator=generator),
            "image": self.objective.image(entry["images"][which].float()), "shown": shown,
            "text": self.cache.read(self.encoders.text_address(prompt))["embeds"],
            "timestep": torch.tensor(timestep),
            "padding": torch.tensor(len(clean) - len(entry["mean"])),
            "size": item.source.sampling, "name": item.name,
        }  # fmt: skip

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> Tensor:
        """The mean over the batch; nothing is drawn here."""
        losses = self.losses(batch)
        self._last = (batch["name"], losses.detach())
        return losses.mean()

    def losses(self, batch: dict[str, Any], model: nn.Module | None = None) -> Tensor:
        """The objective in float32, for each sample: (B,). model: instead of the one that
        Accelerate made.
        """
        return self.objective.losses(model or self.model, self.transformer, batch)

    def describer(self) -> Callable[[], str]:
        """What names the clips of the last piece whose loss was not finite."""
        names, losses = self._last
        return lambda: ", ".join(
            name for name, loss in zip(names, losses.tolist(), strict=True) if not _finite(loss)
        )

    @torch.no_grad()
    def held_out_losses(self, items: Sequence[Item], device: torch.device) -> list[float]:
        """One loss an item, its mean over fixed timesteps, each with a fixed noise of its own; no
        dropouts.

        On the plain model: processes with fewer items than others must not wait for each other
        here.
        """
        self.plain.eval()
        losses = []
        for item in items:
            entry = self.cache.read(item.source.key)
            each = [
                self._held_out(item, entry, t, device) for t in self.settings.held_out_timesteps
            ]
            losses.append(sum(each) / len(each))
        self.plain.train()
        return losses

    def _held_out(
        self, item: Item, entry: dict[str, Tensor], timestep: int, device: torch.device
    ) -> float:
        from accelerate.utils import send_to_device

        generator = torch.Generator().manual_seed(sample_seed("held out", item.name, timestep))
        drawn = self._sample(item, entry, generator, timestep, 0, torch.tensor(True), item.prompt)
        piece = self._some_frames(_collate([drawn]), item.name)
        return float(self.losses(send_to_device(piece, device), self.plain)[0])


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    stacked = {
        key: torch.stack([drawn[key] for drawn in samples]) for key, value in samples[0].items()
        if isinstance(value, Tensor)
    }  # fmt: skip
    return stacked | {"size": samples[0]["size"], "name": [drawn["name"] for drawn in samples]}


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
