"""What `src.distill` calls: the adapter recipe's own run, with a teacher in place of the clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Distilled
from src.pipelines.adapter_files import AdapterFile, read_adapter
from src.pipelines.distilled import distilled_header
from src.pipelines.learning import Distillable
from src.recipes.distill.recipe import DistillRecipe, GuidanceRecipe, StepsRecipe
from src.recipes.distill.settings import SOLVER, DistillSettings, settled, student_timesteps
from src.recipes.distill.teacher import add_teacher
from src.recipes.lora.layers import training_of
from src.recipes.lora.preflight import Preflight
from src.recipes.lora.run import Making


@dataclass(frozen=True)
class Lesson:
    """What a stage learns from. settings: settled. teacher: the guidance adapter, None in stage
    guidance. result: what the adapter will say of itself.
    """

    settings: DistillSettings
    teacher: AdapterFile | None
    result: Distilled


def plan_lesson(
    settings: DistillSettings, spec: ModelSpec, folder: Path, teacher: str | None
) -> Lesson:
    """Decide what the settings leave open. teacher: path of the guidance adapter.

    Raises BadInputError where the stage lacks its teacher, or the settings have nothing to distill.
    """
    _objective(spec, folder)
    file = _teacher(settings, folder, teacher)
    taught = file.reference.distilled.guidance_scale if file else None
    settings = settled(settings, spec, taught)
    visited = student_timesteps(settings, spec)
    result = Distilled(
        stage=settings.stage, guidance_scale=settings.guidance_scale, timesteps=visited,
        scheduler=SOLVER if visited else "",
    )  # fmt: skip
    return Lesson(settings, file, result)


def _teacher(settings: DistillSettings, folder: Path, given: str | None) -> AdapterFile | None:
    if settings.stage == "guidance":
        if given is not None:
            raise BadInputError("--teacher goes with --stage steps; guidance learns from the base")
        return None
    if given is None:
        raise BadInputError(
            "--stage steps learns from a guidance adapter: make one with --stage guidance and give "
            "--teacher DIR/adapter_final"
        )
    file = read_adapter(given, folder)
    if file.reference.distilled is None or file.reference.distilled.stage != "guidance":
        raise BadInputError(
            f"--teacher {given} is no guidance adapter, its header has no newsreel_distilled: "
            "guidance; make one with --stage guidance"
        )
    return file


def making(lesson: Lesson, found: Preflight) -> Making:
    """How the adapter recipe's run makes a distilled adapter. found: of the settled settings."""
    settings, teacher = lesson.settings, lesson.teacher
    header = distilled_header(lesson.result) | {"newsreel_schedule": _schedule(found)}
    if teacher is None:
        recipe = partial(GuidanceRecipe, scale=settings.guidance_scale)
        return Making(DistillRecipe.name, recipe, header=header)
    visited = student_timesteps(settings, found.spec)
    recipe = partial(StepsRecipe, visited=visited, teacher_steps=settings.teacher_steps)
    header |= {
        "newsreel_teacher_sha256": teacher.reference.sha256,
        "newsreel_teacher_steps": str(settings.teacher_steps),
    }
    return Making(
        DistillRecipe.name, recipe, lambda part: add_teacher(part, teacher, found.settings), header
    )


def _schedule(found: Preflight) -> str:
    """What the base predicts and how many timesteps it was trained on, for people and for a check
    that a run which is resumed has the same.
    """
    objective = _objective(found.spec, found.folder)
    return f"{objective.prediction}, {objective.steps} timesteps"


def _objective(spec: ModelSpec, folder: Path) -> Distillable:
    """Raises BadInputError for a family whose adapters are trained but not distilled."""
    objective = training_of(spec).objective(folder)
    if not isinstance(objective, Distillable):
        raise BadInputError(
            f"{spec.id} is of the family {spec.family}, for which no adapter can be distilled; "
            "CogVideoX's can"
        )
    return objective
