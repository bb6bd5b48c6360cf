"""One step: the guided forward of the transformer, and the scheduler's update.

What the transformer predicts, the velocity or the clean latents, is its scheduler's business; the
photograph's latents are joined to the noisy ones on the channel axis.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.pipelines.cogvideox.rotary import joined
from src.pipelines.sides import ClipState, Step


def predict(pipe: Any, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
    """Each clip's prediction (1, F, C, h, w) in float32: p = p_u + w (p_c - p_u), arXiv:2207.12598,
    skipped for w <= 1.

    Kernels may round by the size of the batch: filled up with copies, a clip that was made in
    company is made again alone with the same bits.
    """
    together = [*clips, *[clips[0]] * (step.rows - len(clips))]
    branches = (0, -1) if step.scale > 1 else (-1,)
    prediction = forward(pipe, [(clip, branch) for branch in branches for clip in together], step)
    if step.scale > 1:
        prediction = guide(prediction, step.scale)
    return prediction.split(1)[: len(clips)]


def guide(both: Tensor, scale: float) -> Tensor:
    """The guided prediction of both branches', those without the prompt first."""
    unconditional, conditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def forward(pipe: Any, pairs: Sequence[tuple[ClipState, int]], step: Step) -> Tensor:
    """The transformer on clips and branches of guidance: (pairs, F, C, h, w) in float32."""
    noisy = pipe.scheduler.scale_model_input(
        torch.cat([clip.latents for clip, _ in pairs]), step.timestep
    )
    start = pairs[0][0].start
    # A cache of its own for unguided steps: their batch has another size.
    with pipe.transformer.cache_context("cond_uncond" if step.scale > 1 else "cond"):
        return pipe.transformer(
            hidden_states=joined(noisy, torch.cat([clip.start.image_latents for clip, _ in pairs])),
            encoder_hidden_states=torch.stack(
                [clip.start.prompt_embeds[branch] for clip, branch in pairs]
            ),
            timestep=step.timestep.expand(len(pairs)),
            ofs=start.ofs,
            image_rotary_emb=start.rotary,
            return_dict=False,
        )[0].float()


def advance(pipe: Any, clip: ClipState, prediction: Tensor, step: Step) -> None:
    """One scheduler step: the next latents and, where the solver gives it, the estimate of the
    clean ones."""
    scheduler = pipe.scheduler
    if type(scheduler).__name__ == "CogVideoXDPMScheduler":
        made, clip.x0 = scheduler.step(
            prediction,
            clip.x0,
            step.timestep,
            step.previous,
            clip.latents,
            generator=clip.generator,
            return_dict=False,
        )
    else:
        made = scheduler.step(prediction, step.timestep, clip.latents, return_dict=False)[0]
        clip.x0 = None
    clip.latents = made.to(clip.start.prompt_embeds.dtype)


def finish(pipe: Any, clip: ClipState) -> Tensor:
    """Clean latents (1, F, C, h, w) without the padding."""
    return clip.latents[:, clip.start.padding :]
