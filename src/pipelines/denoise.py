"""Our denoising loop, of whatever family: it reports, cancels, schedules guidance and shows
previews.

The family's arithmetic is that of its stock pipeline, drawn and rounded in the same order:
bit-equal to it at equal settings (tests/pipelines/test_denoise.py and
tests/contracts/family/test_loop.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from src.core.finite import check_made
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.family import Family
from src.pipelines.roles import denoisers
from src.pipelines.sides import ClipState, Step
from src.pipelines.tuning import drop_state

Preview = Callable[[int, Tensor], None]


@torch.no_grad()
def denoise(
    family: Family,
    pipe: Any,
    plan: Plan,
    clips: Sequence[ClipState],
    listener: Listener,
    cancel: CancelToken,
    preview: Preview | None = None,
) -> list[Tensor]:
    """Run the plan's timesteps for clips that share them; returns each clip's clean latents, as the
    family has them.

    Only the forward is shared: everything random is a clip's own, and its step is computed by
    itself.
    preview is given the step and the first clip's estimate of the clean latents. Raises
    CancelledError between steps, NotFiniteError after a step whose latents are not finite.
    """
    previous = None
    for index, timestep in enumerate(pipe.scheduler.timesteps):
        cancel.check()
        _tell(denoisers(family, pipe), plan, index, timestep)
        step = Step(timestep, previous, plan.guidance[index], plan.prompts_per_forward)
        predictions = family.loop.predict(pipe, clips, step)
        for clip, prediction in zip(clips, predictions, strict=True):
            family.loop.advance(pipe, clip, prediction, step)
            check_made(
                clip.latents, f"the latents of step {index + 1} of {plan.num_inference_steps}", plan
            )
        previous = timestep
        listener(Progress("denoise", index + 1, plan.num_inference_steps))
        if preview is not None and clips[0].x0 is not None:
            preview(index, clips[0].x0)
    cancel.check()
    return [family.loop.finish(pipe, clip) for clip in clips]


def _tell(parts: Sequence[Any], plan: Plan, index: int, timestep: Tensor) -> None:
    """What step caches look at: the timestep, the step's number, and whether the batch has another
    size from here on.
    """
    changes = index and (plan.guidance[index] > 1) != (plan.guidance[index - 1] > 1)
    for part in parts:
        part.newsreel_timestep, part.newsreel_step = float(timestep), index
        if changes:
            drop_state(part)
