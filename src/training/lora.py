"""The recipe `lora`: the CogVideoX image-to-video objective on cached latents, for an adapter on attention layers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.pipelines.loading import DTYPES
from src.training.buckets import Batches, Draw, sample_seed
from src.training.encoding import ClipSource, Share, sample
from src.training.encoding_cache import Encoders, EncodingCache
from src.training.lora_settings import LoraSettings
from src.training.objective import PREDICTIONS, image_condition, noised, sample_losses, target, weights

ALONE = Share()
OFS = 2.0
"""What CogVideoX 1.5 is told of the frame rate, in training and in inference."""


@dataclass(frozen=True)
class Item:
    """One entry of the manifest, ready: its clip's address and its caption."""

    name: str
    source: ClipSource
    prompt: str


@dataclass(frozen=True)
class Schedule:
    """alphas: cumulative products of the checkpoint's own scheduler. video, image: what latents are multiplied by.

    ratio: pixels that a latent cell is wide and high. prediction: the scheduler's prediction type.
    """

    alphas: Tensor
    video: float
    image: float
    ratio: int
    prediction: str


def read_schedule(folder: Path) -> Schedule:
    """From the checkpoint's files alone. Raises BadInputError for a model that predicts the noise."""
    from diffusers import CogVideoXDPMScheduler

    scheduler = CogVideoXDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        kinds = " or ".join(PREDICTIONS)
        raise BadInputError(f"{folder} predicts {prediction}; adapters are trained on models that predict {kinds}")
    vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
    scale = vae.get("scaling_factor", 1.15258426)
    # As in inference: some checkpoints were trained with the photograph's scale inverted.
    image = 1 / scale if vae.get("invert_scale_latents") else scale
    ratio = 2 ** (len(vae["block_out_channels"]) - 1)
    return Schedule(scheduler.alphas_cumprod.float(), scale, image, ratio, prediction)


class Denoiser(nn.Module):
    """The transformer with its photograph joined on the channel axis."""

    def __init__(self, transformer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.transformer, self.dtype = transformer, dtype

    def forward(self, noisy: Tensor, condition: Tensor, text: Tensor, timesteps: Tensor, rotary: Any) -> Tensor:
        """The prediction (B, F, C, h, w) for noisy latents and condition of the same shape."""
        joined = torch.cat([noisy, condition], dim=2).to(self.dtype)
        ofs = None if self.transformer.config.ofs_embed_dim is None else joined.new_full((1,), OFS)
        return self.transformer(
            hidden_states=joined, encoder_hidden_states=text.to(self.dtype), timestep=timesteps, ofs=ofs,
            image_rotary_emb=rotary, return_dict=False,
        )[0]  # fmt: skip


class LoraRecipe:
    """What `Trainer` trains. Items of one epoch come in buckets; `batch` reads the cache and draws all that is random.

    identity: what a checkpoint must agree with to be resumed.
    """

    name = "lora"

    def __init__(
        self, transformer: nn.Module, items: Sequence[Item], settings: LoraSettings, schedule: Schedule,
        encoders: Encoders, cache: EncodingCache, share: Share = ALONE, identity: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.transformer, self.items, self.settings, self.schedule = transformer, items, settings, schedule
        self.encoders, self.cache, self.share, self.identity = encoders, cache, share, identity or {}
        if settings.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self.plain = Denoiser(transformer, DTYPES[encoders.dtype])
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
        return [_collate(samples[k : k + size]) for k in range(0, len(samples), size)]

    def draw(self, item: Item, draw: Draw) -> dict[str, Any]:
        """One sample, all on the CPU and from one generator: posterior, noise, timestep, image noise and dropouts."""
        generator = torch.Generator().manual_seed(draw.seed)
        entry = self.cache.read(item.source.key)
        timestep = self._timestep(generator)
        which = int(torch.randint(len(entry["images"]), (1,), generator=generator))
        kept, said = torch.rand(2, generator=generator).tolist()
        prompt = item.prompt if said >= self.settings.caption_dropout else ""
        shown = torch.tensor(kept >= self.settings.image_dropout)
        return self._sample(item, entry, generator, timestep, which, shown, prompt)

    def _sample(
        self, item: Item, entry: dict[str, Tensor], generator: torch.Generator, timestep: int, which: int,
        shown: Tensor, prompt: str,
    ) -> dict[str, Any]:  # fmt: skip
        clean = self.schedule.video * sample(entry["mean"].float(), entry["logvar"].float(), generator)
        clean = padded(clean, self.transformer.config.patch_size_t)
        return {
            "clean": clean, "noise": torch.randn(clean.shape, generator=generator),
            "image": self.schedule.image * entry["images"][which].float()[None], "shown": shown,
            "text": self.cache.read(self.encoders.text_address(prompt))["embeds"],
            "timestep": torch.tensor(timestep), "size": item.source.sampling, "name": item.name,
        }  # fmt: skip

    def _timestep(self, generator: torch.Generator) -> int:
        steps = len(self.schedule.alphas)
        upper = float(torch.rand(1, generator=generator)) < self.settings.high_noise
        return int(torch.randint(steps * 2 // 3 if upper else 0, steps, (1,), generator=generator))

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> Tensor:
        """The mean over the batch; nothing is drawn here."""
        losses = self.losses(batch)
        self._last = (batch["name"], losses.detach())
        return losses.mean()

    def losses(self, batch: dict[str, Any], model: nn.Module | None = None) -> Tensor:
        """The objective in float32, for each sample: (B,). model: instead of the one that Accelerate made."""
        clean, noise, timesteps = batch["clean"], batch["noise"], batch["timestep"]
        noisy = noised(clean, noise, self.schedule.alphas, timesteps)
        condition = image_condition(batch["image"], clean.shape[1], batch["shown"])
        rotary = rotary_positions(self.transformer, batch["size"], self.schedule.ratio, clean.shape[1], clean.device)
        predicted = (model or self.model)(noisy, condition, batch["text"], timesteps, rotary)
        alphas, prediction = self.schedule.alphas, self.schedule.prediction
        losses = sample_losses(predicted, target(prediction, clean, noise, alphas, timesteps))
        return losses * weights(prediction, alphas, timesteps)

    def describe(self) -> str:
        """The clips of the last piece whose loss was not finite."""
        names, losses = self._last
        return ", ".join(name for name, loss in zip(names, losses.tolist(), strict=True) if not _finite(loss))

    @torch.no_grad()
    def held_out_losses(self, items: Sequence[Item], device: torch.device) -> list[float]:
        """One loss an item, its mean over fixed timesteps, each with a fixed noise of its own; no dropouts.

        On the plain model: processes with fewer items than others must not wait for each other here.
        """
        self.plain.eval()
        losses = []
        for item in items:
            entry = self.cache.read(item.source.key)
            each = [self._held_out(item, entry, t, device) for t in self.settings.held_out_timesteps]
            losses.append(sum(each) / len(each))
        self.plain.train()
        return losses

    def _held_out(self, item: Item, entry: dict[str, Tensor], timestep: int, device: torch.device) -> float:
        from accelerate.utils import send_to_device

        generator = torch.Generator().manual_seed(sample_seed("held out", item.name, timestep))
        drawn = self._sample(item, entry, generator, timestep, 0, torch.tensor(True), item.prompt)
        return float(self.losses(send_to_device(_collate([drawn]), device), self.plain)[0])


def padded(clean: Tensor, patch_t: int | None) -> Tensor:
    """Latents (T, C, h, w) that 1.5 can patch in time: as in inference, the first frame is repeated in front."""
    missing = -len(clean) % patch_t if patch_t else 0
    return torch.cat([clean[:1].expand(missing, -1, -1, -1), clean]) if missing else clean


def rotary_positions(transformer: nn.Module, size: Any, ratio: int, latent_frames: int, device: torch.device) -> Any:
    """The pipeline's own function, so that training and inference share one: None for learned positions alone."""
    from diffusers import CogVideoXImageToVideoPipeline

    if not transformer.config.use_rotary_positional_embeddings:
        return None
    stand_in = SimpleNamespace(transformer=transformer, vae_scale_factor_spatial=ratio)
    prepare = CogVideoXImageToVideoPipeline._prepare_rotary_positional_embeddings
    return prepare(stand_in, size.height, size.width, latent_frames, device)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    stacked = {
        key: torch.stack([drawn[key] for drawn in samples]) for key, value in samples[0].items()
        if isinstance(value, Tensor)
    }  # fmt: skip
    return stacked | {"size": samples[0]["size"], "name": [drawn["name"] for drawn in samples]}


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
