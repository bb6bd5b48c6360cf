"""The source of a run as it was at its start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from src.core.files import state_of
from src.media.frames import VideoInfo
from src.upscaling.job import UpscaleJob
from src.upscaling.kept import told_before


@dataclass(frozen=True)
class Source:
    """info: of its frames as they are read. origin: its time that counts as 0, in seconds. state: real path, bytes
    and time of the last change. told: sentences on what the output will lack."""

    info: VideoInfo
    origin: Fraction
    state: tuple[str, int, int]
    told: list[str]

    def changed(self, job: UpscaleJob) -> bool:
        """Whether the file is another one now: segments of both would be joined."""
        try:
            return state_of(job.source) != self.state
        except OSError:
            return True


def look_at(job: UpscaleJob) -> Source:
    """Open the source. Raises BadInputError where it is no video, or of a size that is not encoded."""
    state = state_of(job.source)
    with job.reader() as reader:
        job.output_size(reader.info)
        return Source(reader.info, reader.origin, state, told_before(job, reader.info, reader.scan))
