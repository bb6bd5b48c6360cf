"""What a distilled adapter says of itself, as strings of its file's header. Imports no torch."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from src.core.errors import BadInputError
from src.core.plan import Distilled

STAGE_KEY = "newsreel_distilled"
SCALE_KEY = "newsreel_guidance_scale"
STEPS_KEY = "newsreel_steps"
TIMESTEPS_KEY = "newsreel_timesteps"
SCHEDULER_KEY = "newsreel_scheduler"


def distilled_header(distilled: Distilled) -> dict[str, str]:
    """The strings that `read_distilled` reads back."""
    header = {STAGE_KEY: distilled.stage, SCALE_KEY: f"{distilled.guidance_scale:g}"}
    if distilled.stage == "guidance":
        return header
    timesteps = distilled.model_dump(mode="json")["timesteps"]
    return header | {
        STEPS_KEY: str(len(timesteps)),
        TIMESTEPS_KEY: json.dumps(timesteps),
        SCHEDULER_KEY: distilled.scheduler,
    }


def read_distilled(path: Path, metadata: Mapping[str, str]) -> Distilled | None:
    """What the header says; None for an adapter that is not distilled. Raises BadInputError where
    it says it in part, or otherwise than it can be.
    """
    if STAGE_KEY not in metadata:
        return None
    try:
        found = Distilled.model_validate(
            {
                "stage": metadata[STAGE_KEY],
                "guidance_scale": metadata[SCALE_KEY],
                "timesteps": json.loads(metadata.get(TIMESTEPS_KEY, "[]")),
                "scheduler": metadata.get(SCHEDULER_KEY, ""),
            }
        )
        if bool(found.timesteps and found.scheduler) != (found.stage == "steps"):
            raise ValueError("timesteps and scheduler go with stage steps")
        if len(found.timesteps) != int(metadata.get(STEPS_KEY, 0)):
            raise ValueError(f"{STEPS_KEY} is not how many timesteps there are")
    except (KeyError, ValueError, ValidationError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadInputError(
            f"{path}: {STAGE_KEY} in its header is not understood ({said}); distill it again"
        ) from None
    return found
