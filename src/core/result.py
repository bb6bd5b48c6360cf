"""What a run gives back: the clip, what it cost and what happened on the way."""

from pathlib import Path
from typing import Any

from pydantic import Field

from src.core.config import Config
from src.core.plan import Plan


class Costs(Config):
    """seconds: wall time by stage. peak_rss, peak_vram: bytes (vram 0 on a CPU)."""

    seconds: dict[str, float]
    peak_rss: int
    peak_vram: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Result(Config):
    """One finished clip.

    path: the MP4. manifest: its JSON. frame_sha256: over the RGB frames as the model and the
    upscaler made them. encoded_sha256: over those that were encoded, where filters changed them.
    warnings: sentences a person should read. fallbacks: plans that were left, and why.
    report: the temporal report, None when it was not taken. registered: what is written down of its
    watermark and fingerprint, {} where it has none. before: frames of the clip that is gone on
    with, 0 for none.
    """

    path: Path
    manifest: Path
    plan: Plan
    frame_sha256: str
    costs: Costs
    warnings: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    report: dict[str, Any] | None = None
    encoded_sha256: str | None = None
    registered: dict[str, str] = Field(default_factory=dict)
    before: int = 0

    @property
    def frames(self) -> int:
        """Of the file; what comes before shares one with what was made."""
        return self.plan.num_frames + (self.before - 1 if self.before else 0)
