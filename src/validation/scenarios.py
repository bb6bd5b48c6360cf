"""What configs/training/validation_prompts.yaml may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from src.core.config import Config, load_config, validate
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.core.request import GuidanceScale, Request, Seed, StepCount
from src.media.images import read_photograph as read_file
from src.metrics.measured_move import STRIDE
from src.scenes.moves import TAUGHT
from src.scenes.photographs import HELD_OUT, load_training_photograph

HELD_OUT_NAMES = [photograph.name for photograph in HELD_OUT]


class Scenario(Config):
    """One clip of the base and one of the adapter. name: names its clips.

    photograph: a held-out one by name, or a file of the repository.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    photograph: str
    prompt: str
    seed: Seed = 0


class Thresholds(Config):
    """What an adapter must reach; None leaves a figure unjudged.

    adapter_shows, base_shows: share of clips that show the move, at least and at most.
    first_frame_loss: dB that the first frame may be farther from the photograph than the base's, on
    average. temporal_loss: of the mean temporal score. held_out_ratio: held-out loss over the
    base's, at most.
    """

    adapter_shows: float | None = None
    base_shows: float | None = None
    first_frame_loss: float | None = None
    temporal_loss: float | None = None
    held_out_ratio: float | None = None


class Scenarios(Config):
    """The whole file. move: the trained one by name, None where an adapter teaches a look.
    metadata: the manifest whose held-out clips the loss is taken on; None where it is not taken.
    num_frames: enough to measure motion on; a shorter clip than the move may show what others begin
    with too. Other fields as in a request.
    """

    model: str = "auto"
    move: str | None = None
    metadata: Path | None = None
    num_frames: int | None = Field(default=None, gt=STRIDE)
    num_inference_steps: StepCount | None = None
    guidance_scale: GuidanceScale | None = None
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
    thresholds: Thresholds = Thresholds()

    @field_validator("move")
    @classmethod
    def _known(cls, move: str | None) -> str | None:
        if move is not None and move not in TAUGHT:
            raise ValueError(f"must be one of {', '.join(TAUGHT)}")
        return move


def load_scenarios(path: Path) -> Scenarios:
    """Read and check the file, names and photographs too: each scenario as the request that it
    becomes.
    """
    found = load_config(path, Scenarios)
    # some disks hold one file for both
    names = [scenario.name.casefold() for scenario in found.scenarios]
    for scenario in found.scenarios:
        if names.count(scenario.name.casefold()) > 1:
            raise BadInputError(f"{path}: two scenarios are called {scenario.name!r}")
        as_request(found, scenario, f"{path}: scenario {scenario.name}")
        if scenario.photograph not in HELD_OUT_NAMES:
            read_file(_file_of(scenario.photograph))
    return found


def as_request(scenarios: Scenarios, scenario: Scenario, origin: str, **fields: Any) -> Request:
    """The request of one clip, as a person would make it. Raises BadInputError that begins with
    `origin`.
    """
    given = {
        "input_image": scenario.photograph, "prompt": scenario.prompt, "model": scenarios.model,
        "seed": scenario.seed, "num_frames": scenarios.num_frames,
        "num_inference_steps": scenarios.num_inference_steps,
        "guidance_scale": scenarios.guidance_scale, "score": False,
    }  # fmt: skip
    return validate(given | fields, Request, origin)


def photograph_file(name: str, folder: Path) -> Path:
    """The photograph as a file: a held-out one is written into `folder`."""
    if name in HELD_OUT_NAMES:
        from PIL import Image

        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(load_training_photograph(name)).save(path)
        return path
    path = _file_of(name)
    read_file(path)
    return path


def _file_of(name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else REPOSITORY / name
