"""The stream: decode, enlarge and encode at the same time, in closed segments, and join them with
everything else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from loguru import logger

from src.core.devices import core_count, cpu_threads
from src.core.errors import BadInputError, CancelledError, PartialFailureError
from src.core.progress import CancelToken, Listener, Progress, ignore
from src.media.frames import Frame
from src.media.join import join
from src.media.segments import VideoFormat
from src.upscaling.backends import Backend, Stretch
from src.upscaling.checkpoint import Checkpoint
from src.upscaling.ending import Ending
from src.upscaling.enhance import enlarge
from src.upscaling.feeding import enlarged
from src.upscaling.job import UpscaleJob
from src.upscaling.kept import Kept
from src.upscaling.pieces import Piece, distinct, pieces
from src.upscaling.registry import load_backend
from src.upscaling.report import UpscaleReport
from src.upscaling.sinks import PictureSink, Sink, VideoSink
from src.upscaling.smoothing import TemporalSmoother, too_small_for_flow
from src.upscaling.source import Source, look_at
from src.upscaling.span_reader import SpanReader
from src.upscaling.stages import run_stages

PIECE_BYTES = 256 << 20
"""Source frames that one piece may hold, in bytes."""
DEPTH = (1, 6)
"""Pieces that wait for the network, and enlarged frames that wait for the encoder."""


@dataclass
class _Enlarged:
    """A frame of the output before it is finished: made (sH, sW, 3) float32, None where it repeats
    the one before.
    """

    index: int
    source: Frame
    made: np.ndarray | None
    opens: bool


def upscale_video(
    job: UpscaleJob,
    listener: Listener = ignore,
    cancel: CancelToken | None = None,
    backend: Backend | None = None,
    ending: Ending | None = None,
) -> UpscaleReport:
    """Enlarge one video. ending: carries out the job's filters and finishers; without one it must
    name none.

    Stopped at any point, the same job goes on from its last whole segment, and the result is that
    of an unbroken run. Raises BadInputError and its kin before anything is written, OutputError,
    CancelledError, and PartialFailureError where the source is damaged: what came before the damage
    is saved then.
    """
    began = time.monotonic()
    if ending is None and (job.filters or job.finishers):
        raise AssertionError("filters and finishers are the engine's: see Publisher.enlarge")
    lost = job.check()
    source = look_at(job)
    lost += [*job.tracks(), *source.told]
    lost += too_small_for_flow(
        job.choice.carried(job.enhance), source.info.width, source.info.height
    )
    # before a backend measures which of its builds is fastest
    with cpu_threads(job.threads or core_count()):
        backend = backend or load_backend(job.choice)
        run = _Run(job, source, backend, listener, cancel or CancelToken(), ending or Ending())
        report = run.run()
    report.lost, report.seconds = lost + report.lost, time.monotonic() - began
    if report.damaged:
        saved = f"{report.damaged}; the {report.frames} frames before it are saved in {job.target}"
        raise PartialFailureError("; ".join([saved, *report.lost]))
    return report


class _Run:
    """One run of a job: the three stages and what they share."""

    def __init__(
        self,
        job: UpscaleJob,
        source: Source,
        backend: Backend,
        listener: Listener,
        cancel: CancelToken,
        ending: Ending,
    ) -> None:
        self.job, self.backend, self.listener, self.cancel = job, backend, listener, cancel
        self.source, self.info, self.ending = source, source.info, ending
        self.video: VideoFormat | None = source.video
        self.report = UpscaleReport(
            job.target,
            *job.shown_size(self.info),
            builds=backend.builds,
            refined=str(job.choice.refinement or ""),
        )
        self.kept = Kept(job, self.video)
        self.reader = SpanReader(job, source, self.kept, cancel)
        self.smoother = TemporalSmoother(job.choice.carried(job.enhance), backend.scale)
        self.checkpoint = Checkpoint(job.target, job.decides(backend.hashes, backend.builds))
        self.checkpoint.sweep(list(source.state))
        if "measured" in (facts := self.checkpoint.facts()):
            backend.keep_to(facts["measured"])
        else:
            self.checkpoint.remember({"measured": backend.measured(), "source": list(source.state)})
        self.measured = backend.measured()

    def run(self) -> UpscaleReport:
        done = self.checkpoint.finished(stateful=job_is_stateful(self.job))
        self.report.resumed = self.report.frames = self.checkpoint.frames(done)
        if done:
            logger.info("goes on after {} frames that an earlier run finished", self.report.resumed)
        self.smoother.restore(
            self.checkpoint.read_state(done - 1) if job_is_stateful(self.job) else {}
        )
        sink = self._sink(done)
        try:
            run_stages(
                self._pieces(done), self._enlarge, lambda frames: self._write(frames, sink), DEPTH
            )
            self.report.damaged = self.reader.damaged
            self._publish()
        except (KeyboardInterrupt, CancelledError):
            sink.abort()
            kept = self.checkpoint.frames(
                self.checkpoint.finished(stateful=job_is_stateful(self.job))
            )
            self.checkpoint.release()
            raise CancelledError(
                f"stopped; {kept} frames are kept, and the same command goes on from there"
            ) from None
        except BaseException:
            sink.abort()
            self.checkpoint.release()
            raise
        return self.report

    def _publish(self) -> None:
        if self.source.changed(self.job):
            self.checkpoint.remove()
            raise BadInputError(
                f"{self.job.source} was replaced or changed while it was read; run the command "
                "again"
            )
        self.report.lost += self.kept.sentences()
        if not self.report.frames:
            self.checkpoint.remove()
            raise BadInputError(
                f"{self.job.source} shows no frame between --start and --end; choose a part of it"
            )
        if self.video is not None:
            count = -(-self.report.frames // self.job.segment)
            span = replace(self.job.span, origin=self.source.origin)
            target, report = self.job.target, self.report
            join(self.job.source, self.checkpoint.path, count, self.video, target, span,
                 self.cancel.check, lambda whole: self.ending.publish(whole, target,
                                                                      report))  # fmt: skip
        self.checkpoint.remove()

    def _sink(self, done: int) -> Sink:
        if self.video is not None:
            return VideoSink(self.checkpoint.path, self.video)
        return PictureSink(
            self.job.target, self.checkpoint.path, done * self.job.segment + 1, self.info
        )

    def _pieces(self, done: int) -> Iterator[Piece]:
        """Decode, and cut into pieces; runs in the decoding thread."""
        first = done * self.job.segment
        pixels = self.info.width * self.info.height * (6 if self.info.bit_depth > 8 else 3)
        window = self.backend.window
        size = min(self.job.segment, window.body(PIECE_BYTES // pixels))
        skipped = max(0, first - window.overlap)
        yield from pieces(
            self.reader.frames(skipped), size, window.overlap, self.job.segment, first
        )

    def _enlarge(self, piece: Piece) -> Iterator[_Enlarged]:
        """The network; runs in the thread of the caller."""
        kept, shows = distinct(piece.frames)
        lead, end = shows[piece.before], shows[len(piece.frames) - piece.after - 1]
        frames = np.stack([piece.frames[place].array for place in kept])
        numbers = [piece.index - piece.before + place for place in kept]
        stretch = Stretch(frames, lead, len(kept) - 1 - end, numbers)
        run = self.job.choice.run(self.cancel, self.listener)
        made = enlarged(self.backend, stretch, self.job.enhance, run)
        before = None
        for offset, frame in enumerate(piece.body):
            self.cancel.check()
            showing = shows[piece.before + offset]
            result = next(made) if showing != before else None
            before = showing
            yield _Enlarged(piece.index + offset, frame, result, piece.opens and offset == 0)
        self._count(piece, kept, lead, end)
        self._remember_what_fits()

    def _remember_what_fits(self) -> None:
        """So that a run that goes on does not run out of memory again."""
        if (measured := self.backend.measured()) != self.measured:
            self.measured = measured
            self.checkpoint.remember({"measured": measured, "source": list(self.source.state)})

    def _count(self, piece: Piece, kept: list[int], lead: int, end: int) -> None:
        self.report.computed += end - lead + 1
        self.report.shots += piece.opens

    def _write(self, frames: Iterator[_Enlarged], sink: Sink) -> None:
        """Finishing and encoding; runs in the encoding thread."""
        for group in self._groups(frames):
            segment = group[0][0].index // self.job.segment
            arrays = self.ending.frames([array for _, array in group], group[0][0].index)
            for (item, _), array in zip(group, arrays, strict=True):
                alpha = self._alpha(item.source)
                sink.write(segment, replace(item.source, array=array, alpha=alpha))
                done = item.index + 1
                self.report.frames = done
                self.listener(Progress("upscale", done, max(self.reader.total(), done)))
            if self.report.frames % self.job.segment == 0:
                self._close(sink, segment)
        self._close(sink, (self.report.frames - 1) // self.job.segment)

    def _groups(self, frames: Iterator[_Enlarged]) -> Iterator[list[tuple[_Enlarged, np.ndarray]]]:
        """Finished frames, as many as the ending takes at once, of one segment each."""
        shown, group = None, []
        for item in frames:
            if item.opens:
                self.smoother.reset()
            if item.made is not None:
                shown = self._finished(item)
            group.append((item, shown))
            full = len(group) >= self.ending.group(shown.nbytes)
            if full or (item.index + 1) % self.job.segment == 0:
                yield group
                group = []
        if group:
            yield group

    def _close(self, sink: Sink, segment: int) -> None:
        if job_is_stateful(self.job):
            self.checkpoint.save_state(segment, self.smoother.state())
        sink.finish_segment()

    def _finished(self, item: _Enlarged) -> np.ndarray:
        """The frame as it is encoded: (H, W, 3) of the source's dtype."""
        full = 65535.0 if item.source.array.dtype == np.uint16 else 255.0
        source = item.source.array.astype(np.float32) * (1 / full)
        made = self.backend.finish(self.smoother(item.made, source), source, self.job.enhance)
        if self.job.compare:
            made = np.hstack([enlarge(source, self.backend.scale), made])
        # rounds and saturates
        return cv2.multiply(made, (full,) * 4, dtype=cv2.CV_16U if full > 255 else cv2.CV_8U)

    def _alpha(self, source: Frame) -> np.ndarray | None:
        """The transparency of the enlarged picture, where the output keeps it; between pixels it is
        cubic too.
        """
        if source.alpha is None or not self.kept.alpha:
            return None
        scale = self.backend.scale
        made = cv2.resize(source.alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        return np.hstack([made, made]) if self.job.compare else made


def job_is_stateful(job: UpscaleJob) -> bool:
    """Whether a frame of the output depends on the one before it."""
    return job.choice.carried(job.enhance) > 0
