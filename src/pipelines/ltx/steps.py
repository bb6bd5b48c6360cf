"""One step: the guided forward of the transformer, and the scheduler's update of all frames but the
first, which stays the photograph's."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.pipelines.ltx.decoding import denormalised, with_decoder_noise
from src.pipelines.ltx.packing import packed, unpacked
from src.pipelines.sides import ClipState, Step


def predict(pipe: Any, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
    """Each clip's velocity (1, C, F, h, w) in float32: v = v_u + w (v_c - v_u), arXiv:2207.12598,
    skipped for w <= 1.

    Kernels may round by the size of the batch: filled up with copies, a clip that was made in
    company is made again alone with the same bits.
    """
    together = [*clips, *[clips[0]] * (step.rows - len(clips))]
    branches = (0, -1) if step.scale > 1 else (-1,)
    velocity = _forward(pipe, [(clip, branch) for branch in branches for clip in together], step)
    if step.scale > 1:
        unconditional, conditional = velocity.chunk(2)
        velocity = unconditional + step.scale * (conditional - unconditional)
    return unpacked(velocity, clips[0].start.grid).split(1)[: len(clips)]


def _forward(pipe: Any, pairs: Sequence[tuple[ClipState, int]], step: Step) -> Tensor:
    """The transformer on clips and branches of guidance: (pairs, N, C) in float32. A token of the
    photograph is at timestep 0."""
    start = pairs[0][0].start
    embeds = torch.stack([clip.start.embeds[branch] for clip, branch in pairs])
    known = torch.cat([clip.start.known for clip, _ in pairs])
    # A cache of its own for unguided steps: their batch has another size.
    with pipe.transformer.cache_context("cond_uncond" if step.scale > 1 else "cond"):
        return pipe.transformer(
            hidden_states=packed(torch.cat([clip.latents for clip, _ in pairs])).to(embeds.dtype),
            encoder_hidden_states=embeds,
            timestep=step.timestep.expand(len(pairs)).unsqueeze(-1) * (1 - known),
            encoder_attention_mask=torch.stack(
                [clip.start.masks[branch] for clip, branch in pairs]
            ),
            num_frames=start.grid[0],
            height=start.grid[1],
            width=start.grid[2],
            rope_interpolation_scale=start.scale,
            return_dict=False,
        )[0].float()


def advance(pipe: Any, clip: ClipState, prediction: Tensor, step: Step) -> None:
    """One step of the clip's own scheduler; the estimate of the clean latents is x - sigma v."""
    scheduler, latents = clip.start.scheduler, clip.latents
    first, rest, velocity = latents[:, :, :1], latents[:, :, 1:], prediction[:, :, 1:]
    level = step.timestep / scheduler.config.num_train_timesteps
    clip.x0 = torch.cat([first, rest - level * velocity], dim=2)
    made = scheduler.step(
        velocity, step.timestep, rest, generator=clip.generator, return_dict=False
    )[0]
    clip.latents = torch.cat([first, made], dim=2)


def finish(pipe: Any, clip: ClipState) -> Tensor:
    """The clean latents (1, C, F, h, w) in the VAE's own scale, with the noise that a VAE which is
    told a timestep takes away."""
    latents = denormalised(pipe.vae, clip.latents).to(clip.start.embeds.dtype)
    return with_decoder_noise(pipe.vae, latents, clip.generator)
