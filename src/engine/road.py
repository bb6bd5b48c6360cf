"""The one road: plan -> frames -> upscaler -> filters -> encode -> finishers -> publish -> result."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from loguru import logger

from src.artifacts.store import ArtifactStore
from src.core.durable import write_whole
from src.core.errors import OutputError
from src.core.hardware import Hardware
from src.core.paths import home
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress, ignore
from src.core.request import Request
from src.core.result import Result
from src.engine.costs import Stopwatch
from src.engine.manifest import build_manifest, describe_clip, to_json
from src.engine.runs import append_run
from src.engine.session import Session
from src.media.images import Photograph, fit_photograph
from src.media.writer import VideoWriter
from src.metrics.temporal import TemporalScorer
from src.upscaling.registry import make_upscaler

Filter = Callable[[np.ndarray], np.ndarray]
Finisher = Callable[[Path], None]


@dataclass
class Job:
    """One clip on its way: request, plan, photograph, the final name of the MP4, and plans left before."""

    request: Request
    plan: Plan
    photograph: Photograph
    final: Path
    fallbacks: tuple[str, ...] = ()


@dataclass
class Road:
    """Runs jobs. filters see each delivered frame before encoding; finishers the whole temporary file.

    show: gets a JPEG of the clip now and then while it is denoised, where the decoder lies on the device anyway.
    """

    store: ArtifactStore
    hardware: Hardware
    filters: list[Filter] = field(default_factory=list)
    finishers: list[Finisher] = field(default_factory=list)
    listener: Listener = ignore
    cancel: CancelToken = field(default_factory=CancelToken)
    show: Callable[[bytes], None] | None = None

    def run(self, job: Job, session: Session) -> Result:
        """Make, publish and record one clip. Raises any error of the tree; then nothing is left behind."""
        watch = Stopwatch()
        pixels = fit_photograph(job.photograph.pixels, job.plan.native.width, job.plan.native.height, job.plan.fit)
        delivered, size = job.plan.delivered, job.plan.written
        warnings = (*job.photograph.warnings, *self._warnings(job, session, watch))
        scoring = TemporalScorer((delivered.width, delivered.height), rate=job.plan.fps) if job.plan.score else None
        with VideoWriter(job.final, size.width, size.height, job.plan.fps) as writer, scoring or nullcontext():
            digest = self._encode(job, session, pixels, writer, scoring, watch)
            with watch.stage("deliver"):
                temporary = writer.finish()
                for finisher in self.finishers:
                    finisher(temporary)
            report = self._score(scoring, watch)
            warnings += self._remarks(job, session)
            outcome = {"frame_sha256": digest, "costs": watch.costs(), "warnings": warnings}
            return self._publish(job, writer, outcome | {"fallbacks": job.fallbacks, "report": report})

    def _encode(
        self,
        job: Job,
        session: Session,
        pixels: np.ndarray,
        writer: VideoWriter,
        scoring: TemporalScorer | None,
        watch: Stopwatch,
    ) -> str:
        """Stream the frames into writer and scorer, which works beside; returns the SHA-256 over their RGB bytes."""
        digest, done = hashlib.sha256(), 0
        native = session.run(job.plan, pixels, watch, self.listener, self.cancel, self._preview(job, session))
        for frame in self._filtered(self._enlarged(job.plan, native, scoring, watch)):
            with watch.stage("deliver"):
                digest.update(np.ascontiguousarray(frame).tobytes())
                writer.write(frame)
            done += 1
            self.listener(Progress("deliver", done, job.plan.num_frames))
        if done != job.plan.num_frames:
            raise AssertionError(f"{done} frames came out, the plan says {job.plan.num_frames}")
        return digest.hexdigest()

    @staticmethod
    def _enlarged(
        plan: Plan, native: Iterator[np.ndarray], scoring: TemporalScorer | None, watch: Stopwatch
    ) -> Iterator[np.ndarray]:
        """Native frames to the delivered size, where they are scored, and on to the enlarged one.

        Networks run with all threads between the frames that the session yields; what they take is a stage of its own.
        """
        upscaler = make_upscaler(plan.upscaler, plan.session.device)
        frames = watch.drain("upscale", upscaler.upscale(native, plan.delivered))
        if scoring is not None:
            frames = _scored(frames, scoring, watch)
        if plan.upscale is None:
            return frames
        further = make_upscaler(plan.upscale.preset, plan.session.device)
        return watch.drain("upscale", further.upscale(frames, plan.written))

    def _preview(self, job: Job, session: Session) -> Any:
        if self.show is None or job.plan.session.offload not in ("none", "text") or job.plan.mode == "baseline":
            return None
        from src.engine.preview import Previewer

        return Previewer(session.family, session.load(), self.show)

    def _filtered(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            self.cancel.check()
            for apply in self.filters:
                frame = apply(frame)  # noqa: PLW2901
            yield frame

    @staticmethod
    def _score(scoring: TemporalScorer | None, watch: Stopwatch) -> dict[str, Any] | None:
        """The temporal report, and the sentence that a person reads."""
        if scoring is None:
            return None
        with watch.stage("score"):
            report = scoring.finish()
        logger.info(report.sentence())
        return report.to_dict()

    @staticmethod
    def _warnings(job: Job, session: Session, watch: Stopwatch) -> tuple[str, ...]:
        """What a person should know before minutes of computing: what of the prompt is not read."""
        with watch.stage("load"):
            cut = session.cut_from(job.plan.prompt, job.plan.max_sequence_length)
        if not cut:
            return ()
        limit = job.plan.max_sequence_length
        warning = f"the prompt is longer than the {limit} tokens this model reads; cut off: {shorten(cut, 200)!r}"
        logger.warning(warning)
        return (warning,)

    @staticmethod
    def _remarks(job: Job, session: Session) -> tuple[str, ...]:
        """What only the run could show."""
        remarks = session.remarks(job.plan)
        for remark in remarks:
            logger.warning(remark)
        return remarks

    def _publish(self, job: Job, writer: VideoWriter, outcome: dict[str, Any]) -> Result:
        """Photograph, manifest, clip and the row in `runs.csv`, in the order that leaves no orphan clip."""
        kept = self.store.keep_photograph(job.photograph.data, job.photograph.sha256, job.photograph.suffix)
        with self.store.claim(job.final, replace=job.request.output_path is not None) as final:
            clip = describe_clip(writer.temporary, final)
            manifest = build_manifest(job.request, job.plan, self.hardware, kept.name, clip, **outcome)
            path = final.with_suffix(".json")
            write_whole(path, to_json(manifest))
            self.store.publish(writer.temporary, final)
        result = Result(path=final, manifest=path, plan=job.plan, **outcome)
        try:
            append_run(home() / "runs.csv", result)
        except OutputError as error:
            logger.warning(f"the clip is published, but {error}")
        return result


def _scored(frames: Iterator[np.ndarray], scoring: TemporalScorer, watch: Stopwatch) -> Iterator[np.ndarray]:
    for frame in frames:
        with watch.stage("deliver"):
            scoring.update(frame)
        yield frame
