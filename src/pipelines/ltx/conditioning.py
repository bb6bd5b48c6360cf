"""Before the first step: prompt, photograph and noise, drawn and rounded in the stock pipeline's
order."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.core.finite import check_made
from src.core.plan import Plan
from src.pipelines.ltx.packing import Grid, unpacked
from src.pipelines.sides import ClipState


@dataclass(frozen=True)
class Conditioning:
    """What stays the same from step to step. B is 2 when some step uses guidance, else 1.

    scheduler: the clip's own, for it counts steps. embeds: (B, S, D), unconditional first, with
    masks (B, S) of the tokens that are words. known: (1, N) float32, 1 at tokens that are the
    photograph's. grid: latent frames, height and width. scale: what positions are multiplied by, in
    seconds and pixels.
    """

    scheduler: Any
    embeds: Tensor
    masks: Tensor
    known: Tensor
    grid: Grid
    scale: tuple[float, int, int]


@torch.no_grad()
def begin(pipe: Any, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> ClipState:
    """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting noise.

    Latents are (1, C, F, h, w) float32, normalised, their first frame the photograph's.
    """
    embeds, masks = encode_prompts(pipe, plan)
    check_made(embeds, "the text embeddings (before the first step)", plan)
    size, device = plan.native, pipe._execution_device
    image = pipe.video_processor.preprocess(
        Image.fromarray(pixels), height=size.height, width=size.width
    )
    packed, known = pipe.prepare_latents(
        image.to(device=device, dtype=embeds.dtype), 1, pipe.transformer.config.in_channels,
        size.height, size.width, plan.num_frames, torch.float32, device, generator, None,
    )  # fmt: skip
    grid = grid_of(pipe, plan)
    latents = unpacked(packed, grid)
    check_made(latents[:, :, :1], "the photograph's latents (before the first step)", plan)
    start = Conditioning(
        copy.deepcopy(pipe.scheduler), embeds, masks, known, grid, position_scale(pipe, plan.fps)
    )
    return ClipState(generator, latents, start)


def encode_prompts(pipe: Any, plan: Plan) -> tuple[Tensor, Tensor]:
    """Text embeddings (B, S, D) and their masks (B, S)."""
    guided = plan.guidance_scale > 1
    told, mask, without, mask_without = pipe.encode_prompt(
        plan.prompt,
        plan.negative_prompt or None,
        guided,
        max_sequence_length=plan.max_sequence_length,
        device=pipe._execution_device,
    )
    if not guided:
        return told, mask
    return torch.cat([without, told]), torch.cat([mask_without, mask])


def grid_of(pipe: Any, plan: Plan) -> Grid:
    """Of the plan's latents."""
    step = pipe.vae_spatial_compression_ratio
    frames = (plan.num_frames - 1) // pipe.vae_temporal_compression_ratio + 1
    return frames, plan.native.height // step, plan.native.width // step


def position_scale(pipe: Any, fps: float) -> tuple[float, int, int]:
    """Seconds that a latent frame lasts, and pixels that a cell is high and wide."""
    step = pipe.vae_spatial_compression_ratio
    return pipe.vae_temporal_compression_ratio / round(fps), step, step
