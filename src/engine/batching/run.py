"""Running a batch: one load for all jobs that share it, each clip whole, and nothing finished done
again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from loguru import logger

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, CancelledError, NewsreelError
from src.core.files import sha256_of
from src.core.hardware import Hardware
from src.core.paths import same_name
from src.core.plan import Plan
from src.core.progress import CancelToken
from src.core.request import Request
from src.core.result import Result
from src.engine.batching.jobs_file import BatchJob
from src.engine.batching.microbatches import group, microbatches
from src.engine.batching.together import denoise_together, shared_plan
from src.engine.fallback import became
from src.engine.generate import generate, plans_for, prepare, sized
from src.engine.manifest import read_manifest
from src.engine.planner import budget_bytes, most_prompts
from src.engine.sessions import Sessions


@dataclass(frozen=True)
class Planned:
    """A job that passed every check.

    request: with the final output path. microbatch: number of the one that it is in, whose jobs
    share their forwards.
    """

    job: BatchJob
    request: Request
    plans: tuple[Plan, ...]
    spec: ModelSpec
    microbatch: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one job. state: "completed", "skipped" (was done before) or "failed"."""

    id: str
    state: str
    seconds: float
    result: Result | None = None
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Flat, for the report and its CSV."""
        report = (self.result.report if self.result else None) or {}
        return {
            "id": self.id,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "clip": self.result.path.name if self.result else "",
            "temporal_score": report.get("score", ""),
            "accepted": report.get("accepted", ""),
            "frame_sha256": self.result.frame_sha256 if self.result else "",
            "error": self.error,
        }


def plan_batch(
    jobs: Iterable[BatchJob], output_dir: Path, hardware: Hardware, prompts_per_forward: int = 1
) -> list[Planned]:
    """Check and plan every job; returns them in their best order.

    prompts_per_forward: clips that may share a forward, where memory allows. Their plans say so.
    Raises BadInputError, or the one class that all errors share, listing every job that cannot run.
    """
    planned: list[Planned] = []
    errors: dict[str, NewsreelError] = {}
    taken = {
        str(
            Path(same_name(output_dir / "report.json")).with_suffix("")
        ): "the batch's own, report.json"
    }
    for job in jobs:
        path = job.request.output_path or output_dir / f"{job.id}.mp4"
        request = job.request.model_copy(update={"output_path": path})
        try:
            _take(path, job.id, taken)
            prepared = sized(prepare(request), hardware)
            planned.append(Planned(job, request, plans_for(prepared, hardware), prepared.spec))
        except NewsreelError as error:
            errors[job.id] = error
    if errors:
        kinds = {type(error) for error in errors.values()}
        listed = "".join(f"\n  {name}: {error}" for name, error in errors.items())
        kind = kinds.pop() if len(kinds) == 1 else BadInputError
        raise kind(f"{len(errors)} job(s) cannot run, none was run{listed}")
    return _numbered(group(planned, _plan), hardware, prompts_per_forward)


def _take(path: Path, job: str, taken: dict[str, str]) -> None:
    """Note where a job writes: clip and manifest share a name without its suffix. Raises where it
    is another's.
    """
    for name in {
        Path(same_name(written)).with_suffix("") for written in (path, path.with_suffix(".json"))
    }:
        owner = taken.setdefault(str(name), f"job {job}")
        if owner != f"job {job}":
            raise BadInputError(
                f"output_path {path} is that of another job ({owner}); choose another name"
            )


def _plan(item: Planned) -> Plan:
    return item.plans[0]


def _numbered(planned: list[Planned], hardware: Hardware, wanted: int) -> list[Planned]:
    """Number the microbatches. A microbatch is settled by the whole file, so that a resumed batch
    plans the same.
    """

    def most(item: Planned) -> int:
        return most_prompts(
            item.plans[0], item.spec.memory, budget_bytes(item.request, hardware), wanted
        )

    batches = microbatches(planned, _plan, most)
    return [
        _member(item, number, len(microbatch))
        for number, microbatch in enumerate(batches)
        for item in microbatch
    ]


def _member(item: Planned, number: int, size: int) -> Planned:
    """The job in its microbatch; its plan of a forward alone is what lack of memory steps to."""
    if size == 1:
        return replace(item, microbatch=number)
    plans = (shared_plan(item.plans[0], size), *item.plans)
    return replace(item, microbatch=number, plans=plans)


def run_batch(
    planned: list[Planned],
    hardware: Hardware,
    resume: bool,
    announce: Callable[[Outcome], None],
    cancel: CancelToken | None = None,
) -> list[Outcome]:
    """Run the jobs in order; one that fails does not stop the others. announce:
    called after each.
    """
    batch = _Batch(hardware, resume, announce, cancel or CancelToken())
    microbatches = groupby(planned, lambda item: item.microbatch)
    try:
        return [outcome for _, items in microbatches for outcome in batch.run(list(items))]
    finally:
        batch.sessions.dismiss()


@dataclass
class _Batch:
    """A batch under way: what is warm, and who watches."""

    hardware: Hardware
    resume: bool
    announce: Callable[[Outcome], None]
    cancel: CancelToken
    sessions: Sessions = field(default_factory=Sessions)

    def run(self, microbatch: list[Planned]) -> Iterator[Outcome]:
        """The outcomes of a microbatch's jobs, each announced when it is known."""
        skipped = {item.job.id: _skipped(item) for item in microbatch if self.resume}
        begin, left = (
            time.perf_counter(),
            [item for item in microbatch if not skipped.get(item.job.id)],
        )
        made = {item.job.id: item for item in self._denoised_together(left)}
        share = (time.perf_counter() - begin) / max(len(left), 1)
        for item in microbatch:
            outcome = skipped.get(item.job.id) or self._one(made[item.job.id], share)
            self.announce(outcome)
            yield outcome

    def _denoised_together(self, items: list[Planned]) -> list[Planned]:
        """Denoise the jobs in shared forwards; where that fails, they come back planned for
        forwards of their own.
        """
        if len(items) < 2:
            return items
        try:
            prepared = [prepare(item.request) for item in items]
            plans = [item.plans[0] for item in items]
            denoise_together(prepared, plans, self.sessions, cancel=self.cancel)
        except CancelledError:
            raise
        except Exception as error:
            logger.warning(
                f"{len(items)} jobs do not share a forward ({error}); each is made by itself"
            )
            return [replace(item, plans=item.plans[1:]) for item in items]
        return items

    def _one(self, item: Planned, share: float) -> Outcome:
        """Make one clip; share: the seconds it took already in company."""
        begin = time.perf_counter() - share
        try:
            result = generate(prepare(item.request), item.plans, self.hardware, cancel=self.cancel,
                              sessions=self.sessions)  # fmt: skip
        except CancelledError:
            raise
        except Exception as error:
            return Outcome(
                item.job.id, "failed", time.perf_counter() - begin, error=_in_words(item, error)
            )
        return Outcome(item.job.id, "completed", time.perf_counter() - begin, result)


def _in_words(item: Planned, error: Exception) -> str:
    """Log the failure; returns its sentence."""
    if isinstance(error, NewsreelError):
        logger.error(f"{item.job.id}: {error}")
        return str(error)
    logger.opt(exception=error).error(f"{item.job.id}: a bug, please report it")
    return f"{type(error).__name__}: {error}"


def _skipped(item: Planned) -> Outcome | None:
    result = finished_result(item.request.output_path, item.plans)
    return Outcome(item.job.id, "skipped", 0.0, result) if result else None


def finished_result(path: Path, plans: tuple[Plan, ...]) -> Result | None:
    """The result that lies at `path` already: its manifest is valid, is of one of these plans (or
    of what stepping down made of one), and its clip whole.
    """
    try:
        manifest = read_manifest(path.with_suffix(".json"))
    except NewsreelError:
        return None
    known = {plan.digest() for plan in plans}
    if manifest.fallbacks:
        known |= {digest for plan in plans for digest in became(plan)}
    if manifest.plan_sha256 not in known or not path.is_file():
        return None
    if sha256_of(path) != manifest.clip.sha256:
        return None
    return Result(
        path=path,
        manifest=path.with_suffix(".json"),
        plan=manifest.plan,
        frame_sha256=manifest.frame_sha256,
        costs=manifest.costs,
        report=manifest.report,
        encoded_sha256=manifest.encoded_sha256,
    )
