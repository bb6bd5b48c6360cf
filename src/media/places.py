"""Where in a file is looked whether its pictures are woven of two fields."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

from src.core.files import remembered
from src.media.opening import open_file
from src.media.scan import FRAMES, PAIRS, Scan, scan_of
from src.media.streams import decoded_frames, video_stream
from src.media.timeline import Timeline

LATER = (0.3, 0.6, 0.9)
"""Parts of the file's length, from whose keyframes on pictures are looked at besides the first."""
FEW = PAIRS + 2
"""Pictures that are looked at there."""


def scan_of_file(path: Path) -> Scan:
    """Looked at once for each state of the file; what is damaged is told by who decodes all of it.

    The first pictures count, and later ones where these seem whole and the later ones are not:
    flags say so of each picture, unless they were found wrong.
    """
    return remembered(path, "scan", lambda: _scan(path))


def _scan(path: Path) -> Scan:
    found = scan_of(_frames(path, 0.0))
    if found.woven:
        return found
    for part in LATER:
        frames = list(_frames(path, part))
        later = scan_of(frames)
        if later.interlaced and later.first is not None and (later.measured or found.measured):
            return replace(later, measured=True, since=_time(frames[0]))
    return found


def _time(frame: av.VideoFrame) -> float:
    """Seconds; a thousandth where a file begins just there, so that it is no beginning."""
    return max(float(frame.time or 0.0), 0.001)


def _frames(path: Path, part: float) -> Iterator[av.VideoFrame]:
    """The first pictures from the keyframe before this part of the file's length on; none where
    the file knows no length or cannot be sought in.
    """
    with open_file(path) as container:
        try:
            stream = video_stream(container, path)
            if part and not _sought(container, part):
                return
            most = FEW if part else FRAMES
            yield from islice(decoded_frames(container, stream, Timeline([], [])), most)
        except FFmpegError:
            return


def _sought(container: InputContainer, part: float) -> bool:
    if not container.duration:
        return False
    container.seek(int((container.start_time or 0) + part * container.duration))
    return True
