"""One step: forwards with and without the prompt, one after the other, and the solver's update. The
photograph is pasted into what the transformer sees, at timestep 0."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.pipelines.sides import ClipState, Step
from src.pipelines.wan_ti2v.conditioning import pasted
from src.pipelines.wan_ti2v.decoding import denormalised


def predict(pipe: Any, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
    """Each clip's velocity (1, C, F, h, w): v = v_u + w (v_c - v_u), arXiv:2207.12598, skipped for
    w <= 1.

    Kernels may round by the size of the batch: filled up with copies, a clip that was made in
    company is made again alone with the same bits.
    """
    together = [*clips, *[clips[0]] * (step.rows - len(clips))]
    velocity = _forward(pipe, together, step, "cond", [clip.start.words for clip in together])
    if step.scale > 1:
        words = [clip.start.without for clip in together]
        unconditional = _forward(pipe, together, step, "uncond", words)
        velocity = unconditional + step.scale * (velocity - unconditional)
    return velocity.split(1)[: len(clips)]


def _forward(
    pipe: Any, clips: Sequence[ClipState], step: Step, branch: str, words: Sequence[Tensor]
) -> Tensor:
    """The transformer on clips: (clips, C, F, h, w). branch: whose step cache this is."""
    transformer = pipe.transformer
    noisy = torch.cat([pasted(clip.latents, clip.start) for clip in clips])
    levels = token_timesteps(clips[0].start.free, step.timestep, transformer.config.patch_size)
    with transformer.cache_context(branch):
        return transformer(
            hidden_states=noisy.to(transformer.dtype),
            timestep=levels.expand(len(clips), -1),
            encoder_hidden_states=torch.cat(list(words)),
            return_dict=False,
        )[0]


def token_timesteps(free: Tensor, timestep: Tensor, patch: Sequence[int]) -> Tensor:
    """The timestep of each token (1, N): 0 where it is the photograph's. free: as `Conditioning`
    has it."""
    return (free[0, 0, :, :: patch[1], :: patch[2]] * timestep).flatten()[None]


def advance(pipe: Any, clip: ClipState, prediction: Tensor, step: Step) -> None:
    """One step of the clip's own solver, which keeps its estimate of the clean latents."""
    scheduler = clip.start.scheduler
    clip.latents = scheduler.step(prediction, step.timestep, clip.latents, return_dict=False)[0]
    clip.x0 = pasted(scheduler.model_outputs[-1], clip.start)


def finish(pipe: Any, clip: ClipState) -> Tensor:
    """The clean latents (1, C, F, h, w) in the VAE's own scale."""
    return denormalised(pipe.vae, pasted(clip.latents, clip.start).to(pipe.vae.dtype))
