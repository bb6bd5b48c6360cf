"""What `--refine` asks for: a diffusion model run over enlarged frames at low noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

REFINERS = ("sdxl",)
"""Ids of the upscalers that refine."""
SCHEDULE = 30
"""Steps of the whole schedule; a strength is the share of it that is run, from its end."""
USUAL, LEAST, MOST = 0.2, 0.1, 0.25
"""Strengths: less leaves fewer than three steps, which show the noise; more changes what is shown.
"""


@dataclass(frozen=True)
class Refinement:
    """name: one of `REFINERS`. strength: LEAST to MOST."""

    name: str = REFINERS[0]
    strength: float = USUAL

    @property
    def steps(self) -> int:
        """Of `SCHEDULE` that are run."""
        return int(SCHEDULE * self.strength + 1e-9)

    def __str__(self) -> str:
        return f"{self.name}:{self.strength:g}"


def parse(text: str) -> Refinement:
    """Of `NAME` or `NAME:STRENGTH`. Raises ValueError with the sentence."""
    name, _, strength = text.partition(":")
    if name not in REFINERS:
        raise ValueError(f"refine must be {' or '.join(REFINERS)}, and :STRENGTH after it")
    try:
        share = float(strength) if strength else USUAL
    except ValueError:
        raise ValueError(f"the strength of refine must be a number, {LEAST} to {MOST}") from None
    if LEAST <= share <= MOST:
        return Refinement(name, share)
    steps = max(0, int(SCHEDULE * share + 1e-9)) if share < MOST else None
    why = "more would change what is shown" if steps is None else f"{steps} steps are too few"
    raise ValueError(f"the strength of refine must be {LEAST} to {MOST}: {why}")


def _checked(text: str) -> str:
    parse(text)
    return text


Refine = Annotated[str, AfterValidator(_checked)]
"""`NAME` or `NAME:STRENGTH`, as people write it."""
