"""What a file of a comparison may say: models, photographs, prompts with seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from src.catalog.models import MODELS
from src.core.config import Config, load_config, validate
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.core.request import GuidanceScale, Request, Seed, StepCount
from src.pipelines.families import family_of
from src.pipelines.models import find_model

MOVES = (
    "static", "pan left", "pan right", "tilt up", "tilt down", "push in", "pull out",
    "roll clockwise", "roll counterclockwise",
)  # fmt: skip
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


class Prompt(Config):
    """One wording, or a template's. move: the camera move that it asks for, None where it asks for
    none. name: in names of clips.
    """

    name: Name
    prompt: str | None = None
    template: str | None = None
    move: str | None = None
    seed: Seed = 0

    @field_validator("move")
    @classmethod
    def _known(cls, move: str | None) -> str | None:
        if move is not None and move not in MOVES:
            raise ValueError(f"must be one of {', '.join(MOVES)}")
        return move

    @model_validator(mode="after")
    def _one_wording(self) -> Prompt:
        if (self.prompt is None) == (self.template is None):
            raise ValueError("give either prompt or template")
        return self


class Comparison(Config):
    """The whole file. models: ids or diffusers folders, every known one unless given. photographs:
    files, relative ones of the repository. set: another such file, whose photographs and prompts
    are taken. Other fields as in a request.
    """

    models: tuple[str, ...] = ()
    set: Path | None = None
    photographs: tuple[str, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    num_inference_steps: StepCount | None = None
    guidance_scale: GuidanceScale | None = None
    accept_licence: bool = False


class ComparisonTask(Config):
    """One clip to make."""

    name: str
    model: str
    photograph: str
    prompt: Prompt


def load_comparison(path: Path) -> Comparison:
    """Read and check the file, and the set that it names. Raises BadInputError naming the file."""
    found = load_config(path, Comparison)
    if found.set is not None:
        if found.photographs or found.prompts:
            raise BadInputError(f"{path}: give set, or photographs and prompts, not both")
        other = load_config(_file(found.set), Comparison)
        found = found.model_copy(
            update={"photographs": other.photographs, "prompts": other.prompts}
        )
    if not found.photographs or not found.prompts:
        raise BadInputError(f"{path}: it needs photographs and prompts, or a set that has them")
    names = [prompt.name.casefold() for prompt in found.prompts]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(f"{path}: two prompts are called {name!r}")
    return found


def tasks_of(comparison: Comparison) -> list[ComparisonTask]:
    """Every model on every photograph with every prompt, model by model: each is loaded once."""
    models = comparison.models or MODELS
    return [
        ComparisonTask(
            name=f"{Path(model).name}-{number}-{prompt.name}",
            model=model,
            photograph=photograph,
            prompt=prompt,
        )
        for model in models
        for number, photograph in enumerate(comparison.photographs, start=1)
        for prompt in comparison.prompts
    ]


def comparison_request(task: ComparisonTask, comparison: Comparison, clip: Path) -> Request:
    """As a person would ask for it: the way the model runs here, and no words where it reads none.

    Raises BadInputError where the model or a value is not there.
    """
    family = family_of(find_model(task.model))
    given: dict[str, Any] = {
        "input_image": _file(Path(task.photograph)), "model": task.model, "seed": task.prompt.seed,
        "mode": family.modes[0], "output_path": clip, "overwrite": True, "score": False,
        "num_inference_steps": comparison.num_inference_steps,
        "guidance_scale": comparison.guidance_scale, "accept_licence": comparison.accept_licence,
    }  # fmt: skip
    if family.reads_prompt:
        given |= {"prompt": task.prompt.prompt, "template": task.prompt.template}
    return validate(given, Request, f"comparison, {task.name}")


def _file(path: Path) -> Path:
    return path if path.is_absolute() else REPOSITORY / path
