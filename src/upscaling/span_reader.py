"""The frames of the part of a video that a job enlarges, as far as they can be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from src.core.errors import BadInputError
from src.core.progress import CancelToken
from src.media.frames import Frame
from src.media.reader import Picture
from src.upscaling.job import UpscaleJob
from src.upscaling.kept import Kept
from src.upscaling.source import Source


class SpanReader:
    """Reads the span of a job.

    kept: is shown each frame, and told what the reader noticed. damaged: why the frames ended
    before the span did, None where they did not.
    """

    def __init__(self, job: UpscaleJob, source: Source, kept: Kept, cancel: CancelToken) -> None:
        self.job, self.info, self.kept, self.cancel = job, source.info, kept, cancel
        self.damaged: str | None = None

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """RGB frames from number `skip` on, at growing times; they stop where the source is
        damaged.
        """
        with self.job.reader() as reader:
            span, number, last = replace(self.job.span, origin=reader.origin), 0, None
            if span.start > 0:
                reader.seek(float(span.begin))
            for picture in self._undamaged(reader.pictures()):
                self.cancel.check()
                time_s = float(picture.pts * reader.info.time_base)
                if span.end is not None and time_s - float(span.origin) >= span.end:
                    break
                if not span.holds(time_s):
                    continue
                if number >= skip:
                    frame = self.kept.seen(picture.to_rgb())
                    last = frame.pts if last is None else max(frame.pts, last + 1)
                    yield replace(frame, pts=last)
                number += 1
            self.kept.notes += reader.notes

    def _undamaged(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        try:
            yield from pictures
        except BadInputError as error:
            self.damaged = str(error)

    def total(self) -> int:
        """Frames as far as the container states them, or its length (Matroska), 0 where it states
        neither.
        """
        seconds = (
            self.info.frames / float(self.info.rate) if self.info.frames else self.info.seconds
        )
        if not seconds:
            return 0
        end = min(self.job.span.end or seconds, seconds)
        return round((end - self.job.span.start) * float(self.info.rate))
