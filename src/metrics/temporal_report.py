"""What is said about a clip's temporal consistency: a frozen record that goes into manifests, logs
and tables.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Cause = Literal["none", "cut", "flicker", "stutter", "freeze", "jitter", "noise", "glitch"]


@dataclass(frozen=True)
class WorstMoment:
    """Where the clip is least consistent.

    frames: numbers (from 0) of the first and last frame of the moment. cause: "none" where nothing
    is amiss; "glitch" is something that appears, vanishes or breaks from one frame to the next.
    """

    frames: tuple[int, int]
    cause: Cause


@dataclass(frozen=True)
class TemporalReport:
    """The temporal consistency of one clip.

    score: (0, 1], 1 is perfectly smooth. accepted: score >= 0.6 and not flat. flat: every frame has
    one colour, so that there is no picture whose consistency could be judged. static: nothing moves
    in the whole clip, so the score says nothing about motion. version: of the metric; scores of
    different versions do not compare.
    frames: how many were scored. warping_error: mean grey-level difference (0 to 255) between a
    frame and the next one brought back along the flow, where not occluded. duplicate_fraction:
    share of pairs that show one picture twice. dynamic_degree: mean length of the fastest 5 % of
    the flow, in pixels a frame of a clip whose shorter side is 256 (VBench calls a clip dynamic
    above 6). flicker: VBench's temporal flickering, (255 - mean |difference of neighbours|) / 255:
    1 is none. curve: local score of each pair of frames, frames - 1 values.
    """

    score: float
    accepted: bool
    static: bool
    version: str
    frames: int
    warping_error: float
    duplicate_fraction: float
    dynamic_degree: float
    flicker: float
    curve: tuple[float, ...]
    worst: WorstMoment
    flat: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; every number is finite."""
        record = asdict(self)
        record["curve"] = list(self.curve)
        record["worst"]["frames"] = list(self.worst.frames)
        return record

    def sentence(self) -> str:
        """The verdict as an editor reads it."""
        verdict = "accepted" if self.accepted else "rejected"
        text = f"temporal score {self.score:.2f} ({verdict})"
        if self.flat:
            text += "; flat: every frame is one colour, there is no picture"
        elif self.static:
            text += "; static: nothing moves in this clip"
        elif self.worst.cause != "none":
            text += (
                f"; worst at frames {self.worst.frames[0]}-{self.worst.frames[1]}: "
                f"{self.worst.cause}"
            )
        return text
