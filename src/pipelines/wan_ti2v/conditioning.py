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
from src.pipelines.sides import ClipState


@dataclass(frozen=True)
class Conditioning:
    """What stays the same from step to step.

    scheduler: the clip's own, for it holds what earlier steps predicted. words: (1, S, D) of the
    prompt. without: the same of the negative one, None where no step uses guidance. photograph:
    (1, C, 1, h, w), normalised. free: (1, 1, F, h, w) float32, 0 in the photograph's frame and 1 in
    the others.
    """

    scheduler: Any
    words: Tensor
    without: Tensor | None
    photograph: Tensor
    free: Tensor


@torch.no_grad()
def begin(pipe: Any, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> ClipState:
    """Encode prompt and photograph ((H, W, 3) uint8 at native size) and draw the starting noise,
    (1, C, F, h, w) float32."""
    words, without = encode_prompts(pipe, plan)
    check_made(words, "the text embeddings (before the first step)", plan)
    size, device = plan.native, pipe._execution_device
    image = pipe.video_processor.preprocess(
        Image.fromarray(pixels), height=size.height, width=size.width
    )
    latents, photograph, free = pipe.prepare_latents(
        image.to(device, dtype=torch.float32), 1, pipe.vae.config.z_dim, size.height, size.width,
        plan.num_frames, torch.float32, device, generator,
    )  # fmt: skip
    check_made(photograph, "the photograph's latents (before the first step)", plan)
    start = Conditioning(copy.deepcopy(pipe.scheduler), words, without, photograph, free)
    return ClipState(generator, latents, start)


def encode_prompts(pipe: Any, plan: Plan) -> tuple[Tensor, Tensor | None]:
    """Text embeddings (1, S, D) with the prompt and with the negative one, in the transformer's
    dtype."""
    words, without = pipe.encode_prompt(
        plan.prompt,
        plan.negative_prompt or None,
        plan.guidance_scale > 1,
        max_sequence_length=plan.max_sequence_length,
        device=pipe._execution_device,
    )
    dtype = pipe.transformer.dtype
    guided = plan.guidance_scale > 1
    return words.to(dtype), without.to(dtype) if guided else None


def pasted(latents: Tensor, start: Conditioning) -> Tensor:
    """The latents with the photograph in their first frame."""
    return (1 - start.free) * start.photograph + start.free * latents
