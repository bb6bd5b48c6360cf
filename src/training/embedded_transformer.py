"""The recipe `embedded`, stage `transformer`: clean codes of a clip from its photograph and prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.fx.experimental._config
from loguru import logger
from torch import Tensor, nn

from src.core.toolchain import missing_for_compiling
from src.pipelines.blueprint import Blueprint
from src.pipelines.compiling import Compiled
from src.training.codes import POSTERIOR_LOGVAR
from src.training.embedded import CPU, Prepared, drawn_length, on_device, scenes_of, token_ids, without_move
from src.training.objective import image_condition, image_noise, noised, sample_losses, target, weights
from src.training.settings import EmbeddedSettings, TransformerStage


class Denoising(nn.Module):
    """Text encoder and transformer as one module."""

    def __init__(self, text_encoder: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.text_encoder, self.transformer = text_encoder, transformer

    def forward(self, noisy: Tensor, condition: Tensor, ids: Tensor, timesteps: Tensor, rotary: Any) -> Tensor:
        """The prediction (B, F, C, h, w). No attention mask: the pipeline gives none either."""
        text = self.text_encoder(ids)[0]
        joined = torch.cat([noisy, condition], dim=2)
        return self.transformer(joined, text, timesteps, image_rotary_emb=rotary, return_dict=False)[0]


def compile_blocks(transformer: nn.Module) -> None:
    """Compile the blocks in place: they share one graph for all batches and lengths, so it takes the time of one.

    Sizes that are equal by chance, 48 clips and heads 48 wide, are not taken for one size: the next batch would compile
    again. The analysis of coalesced reads is off: under torch 2.11 it ends in an AssertionError on a card.
    """
    from torch._inductor import config as inductor

    torch.fx.experimental._config.use_duck_shape = False
    inductor.triton.coalesce_tiling_analysis = False
    for block in transformer.transformer_blocks:
        block.forward = Compiled(block, dynamic=True)


def compile_where_possible(transformer: nn.Module, device: str = "cuda") -> None:
    """Compile the blocks unless something that compiling needs is not here, which a warning names."""
    lacking = missing_for_compiling(device)
    if lacking:
        logger.warning("the blocks train uncompiled, more slowly; this machine lacks {}", lacking)
        return
    compile_blocks(transformer)


@dataclass(frozen=True)
class Moments:
    """Which of a clip's token frames a sample holds. The first is always the photograph's.

    groups: (G,) their numbers. frames: (G * patch_t,) the frames of the clip that they show; those padded in front of
    the first are the first.
    """

    groups: np.ndarray
    frames: np.ndarray


class TransformerRecipe:
    """The CogVideoX image-to-video objective on the codes (src/training/objective.py).

    A sample is the photograph's token frame and a few others of the clip, each at its own rotary position: what a
    token frame shows follows from the photograph, the prompt and its time, so a few of them teach the whole clip's
    motion at a fraction of its attention. Whole clips come last.
    """

    name = "transformer"

    def __init__(
        self, prepared: Prepared, stage: TransformerStage, settings: EmbeddedSettings, device: torch.device = CPU
    ) -> None:
        self.prepared, self.stage, self.seed, self.device = prepared, stage, settings.seed + 2, device
        self.codes = prepared.codes.to(device)
        self.most = max(stage.batches.values())
        self.scenes = scenes_of(prepared.blueprint, settings, self.seed, self.most, device)
        pipeline = prepared.pipeline
        self.model = Denoising(pipeline.text_encoder, pipeline.transformer)
        self.model.train()
        if device.type == "cuda":
            compile_where_possible(pipeline.transformer)
        self.alphas, self.prediction = pipeline.scheduler.alphas_cumprod, pipeline.scheduler.config.prediction_type
        self.rotary = self._all_rotary()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Clean latents (B, F, K, h, w), the noised photograph's (B, 1, K, h, w), token ids and rotary positions."""
        random = np.random.default_rng([self.seed, 8, step])
        moments = self._moments(step, random)
        first, count = step * self.most, self.stage.batches[len(moments.groups)]
        videos, prompts = self.scenes.draw(range(first, first + count), moments.frames.tolist())
        prompts = [self._dropped(prompt, random) for prompt in prompts]
        clean, image = self._encode(videos, int(random.integers(2**62)))
        ids = token_ids(self.prepared, prompts, drawn_length(self.stage.long_text, random))
        rotary = torch.stack([table[moments.groups].flatten(0, 1) for table in self.rotary])
        return {"clean": clean.transpose(1, 2), "image": image.transpose(1, 2), "ids": ids, "rotary": rotary}

    def _dropped(self, prompt: str, random: np.random.Generator) -> str:
        return prompt if random.random() >= self.stage.caption_dropout else without_move(random)

    def _encode(self, videos: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Codes (B, K, F, h, w) of the clips, drawn from the posterior, and those of the noised photographs."""
        draw = torch.Generator(self.device).manual_seed(seed)
        image = self.codes.encode(image_noise(videos[:, :, :1], draw, self.stage.image_noise))
        clean = self.codes.encode(videos)
        deviation = float(np.exp(POSTERIOR_LOGVAR / 2))
        return clean + deviation * torch.randn(clean.shape, generator=draw, device=clean.device), image

    def _moments(self, step: int, random: np.random.Generator) -> Moments:
        chances = self.stage.lengths(step)
        counts, total = list(chances), self.prepared.blueprint.token_frames
        count = int(random.choice(counts, p=np.array(list(chances.values())) / sum(chances.values())))
        groups = np.arange(count)
        if random.random() >= self.stage.contiguous:
            groups[1:] = 1 + np.sort(random.choice(total - 1, count - 1, replace=False))
        return moments_of(groups, self.prepared.blueprint)

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        clean, image = batch["clean"], batch["image"]
        timesteps = self._timesteps(len(clean), generator).to(clean.device)
        kept = (torch.rand(len(clean), generator=generator) >= self.stage.image_dropout).to(clean.device)
        noise = torch.randn(clean.shape, generator=on_device(generator, clean.device), device=clean.device)
        noisy = noised(clean, noise, self.alphas, timesteps)
        condition = image_condition(image, clean.shape[1], kept)
        predicted = self.model(noisy, condition, batch["ids"], timesteps, tuple(batch["rotary"]))
        wanted = target(self.prediction, clean, noise, self.alphas, timesteps)
        return (sample_losses(predicted, wanted) * weights(self.prediction, self.alphas, timesteps)).mean()

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform, but for a share that is the last one: where sampling starts, and the prompt alone tells the move."""
        steps = len(self.alphas)
        timesteps = torch.randint(0, steps, (count,), generator=generator)
        last = torch.rand(count, generator=generator) < self.stage.last_timestep
        return timesteps.masked_fill(last, steps - 1)

    def _all_rotary(self) -> tuple[Tensor, Tensor]:
        """The positions that the pipeline gives the longest clip's tokens: cosines and sines (G, tokens, D)."""
        size = self.prepared.blueprint
        frames = size.token_frames * (size.patch_t or 1)
        tables = self.prepared.pipeline._prepare_rotary_positional_embeddings(size.height, size.width, frames, "cpu")
        return tuple(table.unflatten(0, (size.token_frames, -1)) for table in tables)

    def close(self) -> None:
        """End what paints the scenes."""
        self.scenes.close()


def moments_of(groups: np.ndarray, blueprint: Blueprint) -> Moments:
    """The frames that these token frames show, where a latent frame is one frame."""
    held = blueprint.patch_t or 1
    padding = -blueprint.num_frames % held
    frames = groups[:, None] * held + np.arange(held) - padding
    return Moments(groups, np.maximum(frames, 0).flatten())
