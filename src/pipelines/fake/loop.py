"""The fake's side of the denoising loop (`src.pipelines.family.Loop`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.core.errors import SwitchError
from src.core.plan import Plan, SessionKey
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.fake.parts import KINDS, FakePipe, frame_tensor, load_part, spread
from src.pipelines.pixels import to_uint8
from src.pipelines.sides import ClipState, Step


@dataclass(frozen=True)
class Start:
    """words: (1, S, D) without and with the prompt. photograph: (1, C, T, h, w)."""

    words: tuple[Tensor, Tensor]
    photograph: Tensor


def load(
    folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]
) -> FakePipe:
    """Its parts are no classes of a library: none is read before."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    return FakePipe(
        {name: load_part(folder, name, dtype) if name in parts else None for name in KINDS},
        scheduler,
    )


def speed_up(pipe: Any, key: SessionKey) -> None:
    """There is nothing to gain."""


def speed_up_vae(vae: nn.Module) -> None:
    """There is nothing to gain."""


def use_kernel(pipe: Any, name: str) -> None:
    raise SwitchError("attention", f"--attention {name} does not apply to Fake")


def make_scheduler(stock: Any, plan: Plan, device: str) -> Any:
    """At the plan's noise levels."""
    made = type(stock).from_config(stock.config)
    made.set_timesteps(sigmas=list(plan.sigmas or ()), device=device)
    return made


@torch.no_grad()
def begin(pipe: FakePipe, plan: Plan, pixels: np.ndarray, generator: torch.Generator) -> ClipState:
    words = tuple(
        pipe.encode_prompt(text, plan.max_sequence_length)
        for text in (plan.negative_prompt, plan.prompt)
    )
    picture = frame_tensor(pixels).to(words[0])
    latents, photograph = pipe.prepare(picture, plan.num_frames, generator)
    return ClipState(generator, latents, Start((words[0], words[1]), photograph))


def predict(pipe: FakePipe, clips: Sequence[ClipState], step: Step) -> Sequence[Tensor]:
    network: Any = pipe.mover
    filled = [*clips, *[clips[0]] * (step.rows - len(clips))]
    branches = (0, 1) if step.scale > 1 else (1,)
    known = torch.cat(
        [torch.cat([clip.latents, clip.start.photograph], dim=1) for clip in filled] * len(branches)
    )
    words = torch.cat([clip.start.words[branch] for branch in branches for clip in filled])
    made = network(known, step.timestep.expand(len(known)), words)
    if step.scale > 1:
        free, led = made.chunk(2)
        made = free + step.scale * (led - free)
    return made.split(1)[: len(clips)]


def advance(pipe: FakePipe, clip: ClipState, prediction: Tensor, step: Step) -> None:
    clip.x0 = clip.latents - step.timestep / 1000 * prediction
    # A scheduler counts its steps; clips that share them are each at the same one.
    pipe.scheduler._step_index = pipe.scheduler.index_for_timestep(step.timestep)
    clip.latents = pipe.scheduler.step(prediction, step.timestep, clip.latents, return_dict=False)[
        0
    ]


def finish(pipe: FakePipe, clip: ClipState) -> Tensor:
    return clip.latents


@torch.no_grad()
def decode(
    pipe: FakePipe, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
) -> Iterator[np.ndarray]:
    """A latent frame at a time; tiles make no difference to a decoder that sees one cell."""
    vae: Any = pipe.pixels
    count = latents.shape[2]
    for number in range(count):
        cancel.check()
        picture = vae.decode(latents[:, :, number])
        frames = picture if number == 0 else spread(torch.cat([picture, picture]))[1:]
        listener(Progress("decode", number + 1, count))
        yield to_uint8(frames.movedim(0, 1)[None])


def vae_latents(pipe: FakePipe, latents: Tensor) -> Tensor:
    return latents


@torch.no_grad()
def picture(pipe: FakePipe, estimate: Tensor) -> np.ndarray:
    vae: Any = pipe.pixels
    return to_uint8(vae.decode(estimate[:, :, -1]).movedim(0, 1)[None])[0]


def stock_arguments(plan: Plan) -> dict[str, Any]:
    return {
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt or None,
        "scale": plan.guidance_scale,
        "words": plan.max_sequence_length,
        "sigmas": plan.sigmas,
    }
