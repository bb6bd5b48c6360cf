"""The source of a run as it was at its start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from src.core.files import state_of
from src.media.frames import VideoInfo
from src.media.segments import VideoFormat
from src.upscaling.job import UpscaleJob
from src.upscaling.kept import told_before


@dataclass(frozen=True)
class Source:
    """info: of its frames as they are read. origin: its time that counts as 0, in seconds.

    state: real path, bytes and time of the last change. video: how it is encoded, None for
    pictures.
    told: sentences on what the output will lack.
    """

    info: VideoInfo
    origin: Fraction
    state: tuple[str, int, int]
    video: VideoFormat | None
    told: list[str]

    def changed(self, job: UpscaleJob) -> bool:
        """Whether the file is another one now: segments of both would be joined."""
        try:
            return state_of(job.source) != self.state
        except OSError:
            return True


def look_at(job: UpscaleJob) -> Source:
    """Open the source. Raises BadInputError where it is no video or too large to encode."""
    state = state_of(job.source)
    with job.reader() as reader:
        job.output_size(reader.info)
        video = None if job.is_png else job.video_format(reader.info)
        told = told_before(job, reader.info, reader.scan, video)
        return Source(reader.info, reader.origin, state, video, told)
