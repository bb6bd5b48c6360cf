"""Whether a file shows all that it states."""

import re
from pathlib import Path

import av

from src.core.errors import BadInputError
from src.media.describe import file_of, seconds_of
from src.media.frames import VideoInfo

_SHARE_LOST = 0.02
"""A container may state a few frames more than it shows (edit lists); beyond this share the file is
cut short."""


def check_whole(
    path: Path,
    stream: av.VideoStream,
    info: VideoInfo,
    count: int,
    end: float,
    begin: float,
    sought: bool,
) -> None:
    """Raise BadInputError where `count` frames until the time `end` are plainly less than the file
    states.

    begin: when the file begins. sought: whether decoding began amid the file.
    """
    stated, seconds = info.frames, _stated_seconds(stream)
    shown = float((stream.duration or 0) * info.time_base)
    if sought and stated:  # the frames before the keyframe were not counted
        stated, seconds, end = 0, shown, end - begin
    elif (
        stated and shown
    ):  # an edit list may hide many, where a part was cut out without coding it anew
        stated = min(stated, round(shown * info.rate))
    if (
        "avi" in stream.container.format.name and shown
    ):  # frames that a recorder dropped are counted, and empty
        stated, seconds = 0, shown
    if stated and count < stated - max(2, _SHARE_LOST * stated):
        raise BadInputError(f"{path} is cut short: {count} of {stated} frames are there")
    if not stated and seconds and end < seconds - max(2 / info.rate, _SHARE_LOST * seconds):
        raise BadInputError(f"{path} is cut short: it ends at {end:.2f} s of {seconds:.2f} s")


def _stated_seconds(stream: av.VideoStream) -> float | None:
    """When the container says the last frame ends: Matroska's own tag, or its duration where
    nothing else is in it.
    """
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    container = file_of(stream)
    alone = len(container.streams) == 1 and "matroska" in container.format.name
    return seconds_of(stream) if alone else None
