"""Lengths and sizes: `seconds` and `size` of these clients, against what models make.

A clip's first frame is the photograph, so `seconds` is from there to the last frame:
(frames - 1) / fps. 49 frames at 8 a second are "6"; they play 6.125 s, which is taken too.
"""

import math
import re
from collections.abc import Sequence

from src.api.openai.errors import VideoError
from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Size

SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def seconds_text(frames: int, fps: float) -> str:
    """ "6", or "4.8" where it is no whole number."""
    return f"{round((frames - 1) / fps, 3):g}"


def frames_for(seconds: str, fps: float | None, models: Sequence[ModelSpec]) -> int:
    """The frame count that lasts so long. fps: asked for; None is each model's own. Raises
    VideoError with the nearest lengths where no model makes it.
    """
    wanted = _number(seconds)
    for spec in models:
        rate = fps or spec.defaults.fps
        for count in spec.frames.counts:
            if any(math.isclose(wanted, each, abs_tol=2e-3) for each in _lengths(count, rate)):
                return count
    raise _wrong_length(seconds, wanted, fps, models[0])


def _lengths(count: int, rate: float) -> tuple[float, float]:
    return (count - 1) / rate, count / rate


def _number(seconds: str) -> float:
    try:
        value = float(seconds)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise VideoError(
            400, f"seconds is {seconds[:40]!r}; it must be a number, such as 6", "invalid_value",
            "seconds",
        )  # fmt: skip
    return value


def _wrong_length(text: str, wanted: float, fps: float | None, spec: ModelSpec) -> VideoError:
    rate = fps or spec.defaults.fps
    near = sorted(spec.frames.counts, key=lambda count: abs((count - 1) / rate - wanted))[:2]
    told = " and ".join(f'"{seconds_text(count, rate)}"' for count in sorted(near))
    sentence = f"{spec.id} cannot make {text[:40]} seconds; nearest: {told}"
    return VideoError(400, sentence, "invalid_value", "seconds")


def size_for(text: str, models: Sequence[ModelSpec]) -> tuple[int, int]:
    """Width and height, as a model delivers them. Raises VideoError naming the nearest."""
    match = SIZE.fullmatch(text)
    if match is None:
        sentence = f"size is {text[:40]!r}; it must be WIDTHxHEIGHT, such as 720x480"
        raise VideoError(400, sentence, "invalid_value", "size")
    width, height = int(match[1]), int(match[2])
    refused = [_why_not(width, height, spec) for spec in models]
    if all(refused):
        raise VideoError(400, f"size: {refused[0]}", "invalid_value", "size")
    return width, height


def _why_not(width: int, height: int, spec: ModelSpec) -> str | None:
    """What is wrong with a size for a model; None where it is delivered."""
    if not (16 <= width <= 7680 and 16 <= height <= 4320) or width % 2 or height % 2:
        return (
            f"{width}x{height} is not delivered: sides are even, 16x16 to 7680x4320; nearest: "
            f"{_near(width, height, spec)}"
        )
    try:
        spec.deliver(width, height)
    except BadInputError as error:
        return str(error)
    return None


def _near(width: int, height: int, spec: ModelSpec) -> Size:
    """A size of the model's shape within the limits, near the one asked for."""
    aspect = spec.native.width / spec.native.height
    wide = min(max(width, 16 * aspect), 7680, 4320 * aspect)
    return Size(width=2 * round(wide / 2), height=2 * round(wide / aspect / 2))
