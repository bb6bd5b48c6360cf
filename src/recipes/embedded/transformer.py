"""The recipe `embedded`, stage `transformer`: clean codes of a clip from its photograph
and prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.fx.experimental._config
from loguru import logger
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.core.plan import Size
from src.core.toolchain import missing_for_compiling
from src.pipelines.compiling import Compiled
from src.pipelines.family import Part, parts_of
from src.pipelines.learning import NoisedBatch, Objective, Small
from src.pipelines.linear_codes import POSTERIOR_LOGVAR
from src.pipelines.steadiness import unsteadiness
from src.recipes.embedded.beyond import with_reflection
from src.recipes.embedded.guide import BEARINGS, Guide, sources
from src.recipes.embedded.moments import drawn_moments
from src.recipes.embedded.parts import (
    CPU,
    PreparedParts,
    drawn_length,
    on_device,
    scenes_of,
    token_ids,
    without_move,
)
from src.recipes.embedded.settings import EmbeddedSettings, TransformerStage
from src.recipes.embedded.weighing import cell_weights
from src.recipes.lora.image_noise import image_noise
from src.training.recipe import Recipe


class Denoising(nn.Module):
    """Text encoder and transformer as one module."""

    def __init__(self, small: Small, text_encoder: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.small, self.text_encoder, self.transformer = small, text_encoder, transformer
        width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
        with torch.random.fork_rng([]):  # for training alone, and the same in every run
            torch.manual_seed(0)
            self.read_out = nn.Linear(width, BEARINGS)

    def forward(
        self, noisy: Tensor, condition: Tensor, ids: Tensor, timesteps: Tensor, rotary: Tensor
    ) -> Tensor:
        """The prediction (B, F, C, h, w). No attention mask: the pipeline gives none either."""
        text = self.text_encoder(ids)[0]
        return self.small.denoise(self.transformer, noisy, condition, text, timesteps, rotary)


def compile_transformer(transformer: nn.Module, part: Part) -> None:
    """Compile the blocks in place: they share one graph for all batches and lengths, so it takes
    the time of one.

    Sizes that are equal by chance, 48 clips and heads 48 wide, are not taken for one size: the next
    batch would compile again. The analysis of coalesced reads is off: under torch 2.11 it ends in
    an AssertionError on a card.
    """
    from torch._inductor import config as inductor

    torch.fx.experimental._config.use_duck_shape = False
    inductor.triton.coalesce_tiling_analysis = False
    for block in part.blocks_of(transformer):
        block.forward = Compiled(block, dynamic=True)


def compile_where_possible(transformer: nn.Module, part: Part, device: str = "cuda") -> None:
    """Compile the blocks unless something that compiling needs is not here,
    which a warning names.
    """
    lacking = missing_for_compiling(device)
    if lacking:
        logger.warning("the blocks train uncompiled, more slowly; this machine lacks {}", lacking)
        return
    compile_transformer(transformer, part)


class TransformerRecipe(Recipe):
    """The family's own objective on the codes (`Training.objective_of`).

    A sample is the photograph's token frame and a few others of the clip, each at its own rotary
    position: what a token frame shows follows from the photograph, the prompt and its time, so a
    few of them teach the whole clip's motion at a fraction of its attention. Whole clips come last.
    """

    name = "transformer"

    def __init__(
        self,
        prepared: PreparedParts,
        stage: TransformerStage,
        settings: EmbeddedSettings,
        device: torch.device = CPU,
    ) -> None:
        self.prepared, self.stage, self.seed, self.device = (
            prepared,
            stage,
            settings.seed + 2,
            device,
        )
        self.codes = prepared.codes.to(device)
        self.most = max(stage.batches.values())
        self.scenes = scenes_of(prepared.blueprint, settings, self.seed, self.most, device)
        pipeline = prepared.pipeline
        self.model = Denoising(prepared.small, pipeline.text_encoder, pipeline.transformer)
        self.model.train()
        self.read_out = self.model.read_out
        if device.type == "cuda":
            compile_where_possible(pipeline.transformer, parts_of(prepared.family, "denoiser")[0])
        made = prepared.blueprint
        self.side = made.spatial_ratio * made.patch
        self.grid = (made.height // self.side, made.width // self.side)
        self.ratio = made.spatial_ratio
        self.cells = (made.height // self.ratio, made.width // self.ratio)
        blocks = parts_of(prepared.family, "denoiser")[0].blocks_of(pipeline.transformer)
        taught = [blocks[number] for number in stage.teaching.blocks]
        self.guide = Guide(taught, stage.teaching.queries, self.grid)
        self.objective = embedded_objective(prepared)
        self.rotary = self._all_rotary()

    def batch(self, step: int) -> dict[str, Any]:
        """One step's samples.

        clean: latents (B, F, K, h, w). image: the noised photograph's (B, 1, K, h, w). ids: (B, T).
        rotary: (2, tokens, D). motions: (B, F, 2, 3), from the first frame to each that is shown.
        flat: (B,), whether the scene has one layer. told: (B,), whether the prompt was kept.
        follows: numbers of the frames whose next one is the clip's next. step: which it is.
        """
        random = np.random.default_rng([self.seed, 8, step])
        moments = drawn_moments(self.stage, step, self.prepared.blueprint, random)
        first, count = step * self.most, self.stage.batches[len(moments.groups)]
        videos, clips = self.scenes.draw(range(first, first + count), moments.frames.tolist())
        told = random.random(count) >= self.stage.caption_dropout
        prompts = [
            clip.prompt if kept else without_move(random)
            for clip, kept in zip(clips, told, strict=True)
        ]
        motions = np.stack([clip.scene.motions()[0][moments.frames] for clip in clips])
        motions = torch.from_numpy(motions).float()
        flat = torch.tensor([len(clip.scene.layers) == 1 for clip in clips])
        if self.stage.reflect:
            videos = self._reflected(videos, motions, flat)
        clean, image = self._encode(videos, int(random.integers(2**62)))
        ids = token_ids(self.prepared, prompts, drawn_length(self.stage.long_text, random))
        rotary = torch.stack([table[moments.groups].flatten(0, 1) for table in self.rotary])
        return {
            "clean": clean.transpose(1, 2),
            "image": image.transpose(1, 2),
            "ids": ids,
            "rotary": rotary,
            "follows": torch.from_numpy(np.flatnonzero(np.diff(moments.frames) == 1)),
            "motions": motions,
            "flat": flat,
            "told": torch.from_numpy(told),
            "step": step,
        }

    def _reflected(self, videos: Tensor, motions: Tensor, flat: Tensor) -> Tensor:
        """The clips, those of one layer with their photograph's reflection around it."""
        whole = with_reflection(videos, motions.to(videos.device))
        return torch.where(flat.to(videos.device).view(-1, 1, 1, 1, 1), whole, videos)

    def _encode(self, videos: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Codes (B, K, F, h, w) of the clips, drawn from the posterior, and those of the noised
        photographs.
        """
        draw = torch.Generator(self.device).manual_seed(seed)
        image = self.codes.encode(image_noise(videos[:, :, :1], draw, self.stage.image_noise))
        clean = self.codes.encode(videos)
        deviation = float(np.exp(POSTERIOR_LOGVAR / 2))
        return clean + deviation * torch.randn(
            clean.shape, generator=draw, device=clean.device
        ), image

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> Tensor:
        clean, image = batch["clean"], batch["image"]
        timesteps = self._timesteps(len(clean), generator).to(clean.device)
        kept = (torch.rand(len(clean), generator=generator) >= self.stage.image_dropout).to(
            clean.device
        )
        noise = torch.randn(
            clean.shape, generator=on_device(generator, clean.device), device=clean.device
        )
        noised = NoisedBatch(clean, noise, timesteps)
        noisy = self.objective.noised(noised)
        condition = self.prepared.small.condition(image, clean.shape[1], kept)
        self.guide.watching = self.stage.taught(batch["step"]) > 0
        predicted = self.model(noisy, condition, batch["ids"], timesteps, batch["rotary"])
        counts = self._counted(batch)
        error = self.objective.errors(predicted, noised, counts)
        if self.stage.steady:
            off = unsteadiness(predicted, clean, batch["follows"], counts)
            error = error + self.stage.steady * off
        return error.mean() + (self._astray(batch, generator) if self.guide.watching else 0)

    def _counted(self, batch: dict[str, Any]) -> Tensor | None:
        """What each latent cell's error counts, None where all count alike; what is reflected is
        known.
        """
        if self.stage.outside == 1:
            return None
        counts = cell_weights(batch["motions"], self.cells, self.ratio, self.stage.outside)
        known = batch["flat"].view(-1, 1, 1, 1, 1) & self.stage.reflect
        return torch.where(known, 1.0, counts)

    def _astray(self, batch: dict[str, Any], generator: torch.Generator) -> Tensor:
        """The teaching's share of the loss."""
        teaching, told = self.stage.teaching, batch["told"]
        held = self.prepared.blueprint.patch_t or 1
        places = sources(batch["motions"].unflatten(1, (-1, held)), self.grid, self.side)
        off = teaching.bearings * self.guide.bearings_off(self.read_out, places, told)
        if teaching.corners:
            off = off + teaching.corners * self.guide.corners_missed(places, told, generator)
        self.guide.forget()
        return self.stage.taught(batch["step"]) * off

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform, but for a share that is the last one: where sampling starts, and the prompt
        alone tells the move.
        """
        steps = self.objective.steps
        timesteps = torch.randint(0, steps, (count,), generator=generator)
        last = torch.rand(count, generator=generator) < self.stage.last_timestep
        return timesteps.masked_fill(last, steps - 1)

    def _all_rotary(self) -> Tensor:
        """The positions that the pipeline gives the longest clip's tokens: cosines and sines (2, G,
        tokens, D).
        """
        made = self.prepared.blueprint
        frames, size = (
            made.token_frames * (made.patch_t or 1),
            Size(width=made.width, height=made.height),
        )
        return self.prepared.small.positions(
            self.prepared.pipeline, size, made.token_frames, frames
        )

    def close(self) -> None:
        """End what paints the scenes."""
        self.scenes.close()


def embedded_objective(prepared: PreparedParts) -> Objective:
    """What the pipeline's own scheduler says is predicted."""
    training = prepared.family.training
    if training is None:
        raise BadInputError(f"the family {prepared.blueprint.family} is not trained here")
    return training.objective_of(prepared.pipeline)
