"""The one road: plan -> frames -> upscaler -> filters -> encode -> finishers -> publish -> record.

Generated clips go it (`run`), and videos that are enlarged (`enlarge`), whose frames a file holds.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from loguru import logger

from src.artifacts.local import LocalStore
from src.core.durable import write_whole
from src.core.errors import OutputError, PartialFailureError
from src.core.hardware import Hardware
from src.core.paths import home
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, Progress, ignore
from src.core.request import Request
from src.core.result import Result
from src.engine.costs import Stopwatch
from src.engine.enlarging import Enlarging
from src.engine.extending import Before, seam_of
from src.engine.filters import GroupContext, in_groups
from src.engine.finisher import SIGNED, FileContext
from src.engine.finishing import filtered, finished, group_size
from src.engine.manifest import Manifest, build_manifest, describe_clip, to_json
from src.engine.marking import mark_of
from src.engine.registering import fingerprint_for, write_down
from src.engine.render import render
from src.engine.runs import append_enlarged, append_run
from src.engine.session import Session
from src.engine.signing import claim_of
from src.media.images import Photograph
from src.media.writer import VideoWriter
from src.metrics.temporal import TemporalScorer
from src.trust.xmp import append_xmp
from src.upscaling.backends import UpscaleRun
from src.upscaling.clips import clip_warnings, make_upscaler
from src.upscaling.job import UpscaleJob
from src.upscaling.ledger import DAMAGED, Ledger, job_key
from src.upscaling.report import UpscaleReport
from src.upscaling.stream import upscale_video


@dataclass
class Render:
    """One clip on its way: request, plan, photograph, the final name of the MP4, plans left before,
    the clip that is gone on with, and the id of the key of its watermark ("" for that of new
    marks).
    """

    request: Request
    plan: Plan
    photograph: Photograph
    final: Path
    fallbacks: tuple[str, ...] = ()
    before: Before | None = None
    mark_key: str = ""


class FrameHashes:
    """SHA-256 over the RGB bytes of the frames as they were made, and as they are encoded after a
    plan's filters.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self._made, self._encoded = plan, hashlib.sha256(), hashlib.sha256()

    def filtered(self, frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
        """Count frames in; returns them as they are encoded."""
        for frame in frames:
            self._made.update(np.ascontiguousarray(frame).tobytes())
        if not self.plan.filters:
            return frames
        frames = filtered(frames, context)
        for frame in frames:
            self._encoded.update(np.ascontiguousarray(frame).tobytes())
        return frames

    def told(self) -> dict[str, str]:
        """As result and manifest have them."""
        made = {"frame_sha256": self._made.hexdigest()}
        return made | {"encoded_sha256": self._encoded.hexdigest()} if self.plan.filters else made


@dataclass
class Publisher:
    """Makes clips and publishes them, each with its manifest.

    show: gets a JPEG of the clip now and then while it is denoised, where the decoder lies on the
    device anyway.
    """

    store: LocalStore
    hardware: Hardware
    listener: Listener = ignore
    cancel: CancelToken = field(default_factory=CancelToken)
    show: Callable[[bytes], None] | None = None

    def run(self, job: Render, session: Session) -> Result:
        """Make, publish and record one clip. Raises any error of the tree; then nothing is left
        behind.
        """
        watch = Stopwatch()
        delivered, size = job.plan.delivered, job.plan.written
        warnings = (*job.photograph.warnings, *self._warnings(job, session, watch))
        scoring = (
            TemporalScorer((delivered.width, delivered.height), rate=job.plan.fps)
            if job.plan.score
            else None
        )
        with (
            VideoWriter(job.final, size.width, size.height, job.plan.fps) as writer,
            scoring or nullcontext(),
        ):
            hashes = self._encode(job, session, writer, scoring, watch)
            with watch.stage("deliver"):
                writer.finish()
            report = self._score(scoring, watch, job.before)
            warnings += self._remarks(job, session)
            outcome = {
                "costs": watch.costs(),
                "warnings": warnings,
                "fallbacks": job.fallbacks,
                "report": report,
                "before": job.before.frames if job.before else 0,
            }
            return self._publish(job, writer, hashes | outcome)

    def enlarge(self, job: UpscaleJob, ledger: Ledger | None = None) -> UpscaleReport:
        """Enlarge one video and publish it. Raises as `upscale_video` does.

        ledger: of the folder that it goes to, which is told of what is finished, or damaged.
        """
        key = job_key(job)
        try:
            report = upscale_video(
                job, self.listener, self.cancel, ending=Enlarging(job, self.store, self.hardware)
            )
        except PartialFailureError:
            _record(ledger, job, DAMAGED)
            raise
        _record(ledger, job, key)
        self._list(append_enlarged, job, self.hardware.device, report)
        return report

    def _encode(
        self,
        job: Render,
        session: Session,
        writer: VideoWriter,
        scoring: TemporalScorer | None,
        watch: Stopwatch,
    ) -> dict[str, str]:
        """Stream the frames into writer and scorer, which works beside; returns the hashes of the
        frames.
        """
        plan, hashes, done = job.plan, FrameHashes(job.plan), 0
        if job.before is not None:
            _begin_with(job.before, plan, writer, scoring, watch)
        native = render(job.photograph.pixels, plan, session, watch, self.listener, self.cancel,
                        self._preview(job, session))  # fmt: skip
        most = group_size(plan.filters, plan.written.width * plan.written.height * 3)
        for group in in_groups(self._enlarged(plan, native, scoring, watch), most):
            self.cancel.check()
            with watch.stage("deliver"):
                made = hashes.filtered(group, GroupContext(plan, done, job.mark_key))
                for frame in made[1:] if job.before and not done else made:
                    writer.write(frame)
            done += len(group)
            self.listener(Progress("deliver", done, plan.num_frames))
        if done != plan.num_frames:
            raise AssertionError(f"{done} frames came out, the plan says {plan.num_frames}")
        return hashes.told()

    def _enlarged(
        self,
        plan: Plan,
        native: Iterator[np.ndarray],
        scoring: TemporalScorer | None,
        watch: Stopwatch,
    ) -> Iterator[np.ndarray]:
        """Native frames to the delivered size, where they are scored, and on to the enlarged one.

        Networks run with all threads between the frames that the session yields; what they take is
        a stage of its own.
        """
        run = UpscaleRun(self.cancel, self.listener, plan.seed, plan.prompt)
        upscaler = make_upscaler(plan.upscaler, plan.session.device, run)
        frames = watch.drain("upscale", upscaler.upscale(native, plan.delivered))
        if scoring is not None:
            frames = _scored(frames, scoring, watch, skip=1 if plan.extends else 0)
        if plan.upscale is None:
            return frames
        further = make_upscaler(plan.upscale.preset, plan.session.device, run)
        return watch.drain("upscale", further.upscale(frames, plan.written))

    def _preview(self, job: Render, session: Session) -> Any:
        if (
            self.show is None
            or job.plan.session.offload not in ("none", "text")
            or job.plan.mode == "baseline"
        ):
            return None
        from src.engine.preview import Previewer

        return Previewer(session.family, session.load(), self.show)

    @staticmethod
    def _score(
        scoring: TemporalScorer | None, watch: Stopwatch, before: Before | None
    ) -> dict[str, Any] | None:
        """The temporal report, and the sentence that a person reads."""
        if scoring is None:
            return None
        with watch.stage("score"):
            report = scoring.finish()
        logger.info(report.sentence())
        told = report.to_dict()
        return told | {"seam": seam_of(before, told["curve"])} if before else told

    @staticmethod
    def _warnings(job: Render, session: Session, watch: Stopwatch) -> tuple[str, ...]:
        """What a person should know before minutes of computing: what of the prompt is not read,
        and what of the upscalers' work cannot be done at these sizes.
        """
        small = tuple(clip_warnings(job.plan))
        for each in small:
            logger.warning(each)
        with watch.stage("load"):
            cut = session.cut_from(job.plan.prompt, job.plan.max_sequence_length)
        if not cut:
            return small
        limit = job.plan.max_sequence_length
        warning = (
            f"the prompt is longer than the {limit} tokens this model reads; cut off: "
            f"{shorten(cut, 200)!r}"
        )
        logger.warning(warning)
        return (*small, warning)

    @staticmethod
    def _remarks(job: Render, session: Session) -> tuple[str, ...]:
        """What only the run could show."""
        remarks = session.remarks(job.plan)
        for remark in remarks:
            logger.warning(remark)
        return remarks

    def _publish(self, job: Render, writer: VideoWriter, outcome: dict[str, Any]) -> Result:
        """Photograph, manifest, clip and the row in `runs.csv`, in the order that leaves no orphan
        clip.
        """
        kept = self.store.keep_photograph(
            job.photograph.data, job.photograph.sha256, job.photograph.suffix
        )
        with self.store.claim(job.final, replace=job.request.output_path is not None) as final:
            manifest = self._finished(job, writer.temporary, final, kept, outcome)
            path = final.with_suffix(".json")
            write_whole(path, to_json(manifest))
            self.store.publish(writer.temporary, final)
        entry = write_down(manifest)
        result = Result(path=final, manifest=path, plan=job.plan, registered=entry, **outcome)
        self._list(append_run, result)
        return result

    @staticmethod
    def _list(append: Callable[..., None], *what: Any) -> None:
        try:
            append(home() / "runs.csv", *what)
        except OutputError as error:
            logger.warning(f"the clip is published, but {error}")

    def _finished(
        self, job: Render, temporary: Path, final: Path, photograph: Path, outcome: dict[str, Any]
    ) -> Manifest:
        """Run the finishers; the manifest of what they leave."""
        clip = describe_clip(temporary, final)
        manifest = build_manifest(
            job.request, job.plan, self.hardware, photograph.name, clip,
            press=job.photograph.press.told, watermark=mark_of(job.plan, job.mark_key),
            fingerprint=fingerprint_for(job.plan, temporary), **outcome,
        )  # fmt: skip
        source = job.before.path if job.before else photograph
        if SIGNED not in job.plan.finishers:  # which writes it itself, before it signs
            append_xmp(temporary, claim_of(FileContext(manifest, source, final)))
            manifest = manifest.model_copy(update={"clip": describe_clip(temporary, final)})
        return finished(job.plan.finishers, temporary, final, manifest, source)


def _record(ledger: Ledger | None, job: UpscaleJob, key: str) -> None:
    if ledger is not None:
        ledger.add(job.target, key)


def _begin_with(
    before: Before, plan: Plan, writer: VideoWriter, scoring: TemporalScorer | None,
    watch: Stopwatch,
) -> None:  # fmt: skip
    """The frames of the clip that is gone on with, into file and scorer."""
    with watch.stage("deliver"):
        writer.begin_with(before.path, before.pictures)
        for picture in before.scored(plan.delivered) if scoring else ():
            scoring.update(picture)


def _scored(
    frames: Iterator[np.ndarray], scoring: TemporalScorer, watch: Stopwatch, skip: int = 0
) -> Iterator[np.ndarray]:
    """skip: how many of the first are scored already."""
    for index, frame in enumerate(frames):
        if index >= skip:
            with watch.stage("deliver"):
                scoring.update(frame)
        yield frame
