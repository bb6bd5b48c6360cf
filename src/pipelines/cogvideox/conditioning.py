"""Before the first step: prompt, photograph, noise and positions, drawn and rounded in the stock
pipeline's order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.core.finite import check_made
from src.core.plan import Plan
from src.pipelines.cogvideox.rotary import missing_frames, offset, rotary_positions
from src.pipelines.sides import ClipState


@dataclass(frozen=True)
class Conditioning:
    """What stays the same from step to step. B is 2 when guidance needs the unconditional branch,
    else 1.

    prompt_embeds: (B, S, D), unconditional first. image_latents: (1, F, C, h, w), the photograph in
    the first frame and zeros after. rotary: cosines and sines of the positions, None for models
    without. ofs: (1,) for 1.5, else None. padding: latent frames in front that a model of several
    to a patch adds and the decoder must not see.
    """

    prompt_embeds: Tensor
    image_latents: Tensor
    rotary: tuple[Tensor, Tensor] | None
    ofs: Tensor | None
    padding: int


@torch.no_grad()
def begin(pipe: Any, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> ClipState:
    """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting noise (1,
    F, C, h, w)."""
    embeds = encode_prompts(pipe, plan)
    check_made(embeds, "the text embeddings (before the first step)", plan)
    image = pipe.video_processor.preprocess(
        Image.fromarray(pixels), plan.native.height, plan.native.width
    )
    frames, padding = padded_frames(pipe, plan.num_frames)
    device, size = pipe._execution_device, plan.native
    channels = pipe.transformer.config.in_channels // 2
    image = image.to(device, dtype=embeds.dtype)
    latents, image_latents = pipe.prepare_latents(
        image, 1, channels, frames, size.height, size.width, embeds.dtype, device, generator
    )
    check_made(image_latents, "the photograph's latents (before the first step)", plan)
    ratio = pipe.vae_scale_factor_spatial
    rotary = rotary_positions(
        pipe.transformer, size.height, size.width, ratio, latents.shape[1], device
    )
    start = Conditioning(embeds, image_latents, rotary, offset(pipe.transformer, latents), padding)
    return ClipState(generator, latents * pipe.scheduler.init_noise_sigma, start)


def encode_prompts(pipe: Any, plan: Plan) -> Tensor:
    """(B, S, D) text embeddings; the unconditional branch is there only if some step uses
    guidance."""
    guided = plan.guidance_scale > 1
    positive, negative = pipe.encode_prompt(
        plan.prompt,
        plan.negative_prompt,
        guided,
        max_sequence_length=plan.max_sequence_length,
        device=pipe._execution_device,
    )
    return torch.cat([negative, positive]) if guided else positive


def padded_frames(pipe: Any, num_frames: int) -> tuple[int, int]:
    """Frames to ask the VAE's shape for, and the latent frames added where a patch holds
    several."""
    ratio = pipe.vae_scale_factor_temporal
    padding = missing_frames((num_frames - 1) // ratio + 1, pipe.transformer.config.patch_size_t)
    return num_frames + padding * ratio, padding
