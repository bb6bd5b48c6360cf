"""What configs/training/distill_default.yaml may say: the recipe `distill`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.request import GuidanceScale
from src.pipelines.families import family_of
from src.recipes.lora.settings import LoraSettings

SOLVER = "ddim"
"""The scheduler of a few-step student: without noise, so that one step has one right answer."""


class DistillSettings(LoraSettings):
    """One distilled adapter; what is not said here is as in `LoraSettings`. The photograph and the
    caption are always given: `image_dropout` and `caption_dropout` have no part in this. What is
    learnt is the teacher's prediction at timesteps that the stage decides on, so that `steady` and
    `last_timestep` are refused.

    stage: "guidance", one forward for two, or "steps", few steps for many.
    guidance_scale: that the adapter stands for; None takes the model's default, and in stage steps
    what the guidance adapter's header says. student_steps: of a clip, in stage steps; a divisor of
    the schedule. teacher_steps: that the teacher takes for each of the student's.
    """

    stage: Literal["guidance", "steps"] = "guidance"
    guidance_scale: GuidanceScale | None = None
    student_steps: int = Field(4, ge=1)
    teacher_steps: int = Field(4, ge=2)

    @model_validator(mode="after")
    def _teacher_decides(self) -> DistillSettings:
        for name in ("steady", "last_timestep"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} has no part in distillation, which learns what the teacher predicts; "
                    "leave it out"
                )
        return self

    @property
    def teacher_forwards(self) -> int:
        """With and without the prompt; or one for each of the teacher's steps."""
        return 2 if self.stage == "guidance" else self.teacher_steps

    @property
    def teacher_adapters(self) -> int:
        """The guidance adapter, which teaches the steps."""
        return 0 if self.stage == "guidance" else 1


def student_timesteps(settings: DistillSettings, spec: ModelSpec) -> tuple[int, ...]:
    """The timesteps of a clip in the student's steps, descending; none in stage guidance.

    Raises BadInputError where DDIM's steps, of equal length, do not lead from one to the next.
    """
    if settings.stage == "guidance":
        return ()
    family, count, whole = family_of(spec), settings.student_steps, spec.schedule.train_timesteps
    if SOLVER not in family.schedulers:
        raise BadInputError(f"{spec.id} has no scheduler {SOLVER}, which few steps are taken with")
    if whole % count:
        near = [n for n in range(1, whole + 1) if whole % n == 0]
        best = min(near, key=lambda n: abs(n - count))
        raise BadInputError(
            f"student_steps {count} does not divide the schedule's {whole} timesteps; take {best}"
        )
    return tuple(int(t) for t in family.timesteps(count, spec, stock=False).timesteps)


def settled(settings: DistillSettings, spec: ModelSpec, taught: float | None) -> DistillSettings:
    """The settings with what they leave open decided; taught: the guidance scale that the teacher's
    adapter stands for, None in stage guidance.

    Held-out losses of stage steps are taken where the student is. Its samples are left out: they go
    the stock pipeline's road, whose scheduler is the checkpoint's own. Raises BadInputError for a
    scale at which there is nothing to distill, or that is not the teacher's.
    """
    scale = settings.guidance_scale or taught or spec.defaults.guidance_scale
    if taught is not None and scale != taught:
        raise BadInputError(
            f"guidance_scale is {scale:g}, the guidance adapter stands for {taught:g}; leave it out"
        )
    if scale <= 1:
        raise BadInputError(
            f"guidance_scale {scale:g} takes one forward already; there is nothing to distill"
        )
    visited = student_timesteps(settings, spec)
    samples = settings.samples.model_copy(
        update={"guidance_scale": 1.0, "every": 0 if visited else settings.samples.every}
    )
    return settings.model_copy(
        update={
            "guidance_scale": scale,
            "held_out_timesteps": visited or settings.held_out_timesteps,
            "samples": samples,
        }
    )
