"""What configs/training/validation_prompts.yaml may say."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from src.core.config import Config, load
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.media.images import read_photograph as read_file
from src.metrics.measured_move import STRIDE
from src.scenes.moves import TAUGHT
from src.scenes.photographs import HELD_OUT, read_photograph


class Scenario(Config):
    """One clip of the base and one of the adapter. photograph: a held-out one by name, or a file of the repository."""

    name: str
    photograph: str
    prompt: str
    seed: int = 0


class Thresholds(Config):
    """What an adapter must reach; None leaves a figure unjudged.

    adapter_shows, base_shows: share of clips that show the move, at least and at most. first_frame_loss: dB that the
    first frame may be farther from the photograph than the base's, on average. temporal_loss: of the mean temporal
    score. held_out_ratio: held-out loss over the base's, at most.
    """

    adapter_shows: float | None = None
    base_shows: float | None = None
    first_frame_loss: float | None = None
    temporal_loss: float | None = None
    held_out_ratio: float | None = None


class Scenarios(Config):
    """The whole file. move: the trained one by name, None where an adapter teaches a look. metadata: the manifest whose
    held-out clips the loss is taken on; None where it is not taken. num_frames: enough to measure motion on; a shorter
    clip than the move may show what others begin with too. Other fields as in a request."""

    model: str = "auto"
    move: str | None = None
    metadata: Path | None = None
    num_frames: int | None = Field(default=None, gt=STRIDE)
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
    thresholds: Thresholds = Thresholds()

    @field_validator("move")
    @classmethod
    def _known(cls, move: str | None) -> str | None:
        if move is not None and move not in TAUGHT:
            raise ValueError(f"must be one of {', '.join(TAUGHT)}")
        return move


def load_scenarios(path: Path) -> Scenarios:
    """Read and check the file, names and photographs too."""
    found = load(path, Scenarios)
    names = [scenario.name for scenario in found.scenarios]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(f"{path}: two scenarios are called {name!r}")
    return found


def photograph_file(name: str, folder: Path) -> Path:
    """The photograph as a file: a held-out one is written into `folder`."""
    if name in [photograph.name for photograph in HELD_OUT]:
        from PIL import Image

        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(read_photograph(name)).save(path)
        return path
    path = Path(name) if Path(name).is_absolute() else REPOSITORY / name
    read_file(path)
    return path
