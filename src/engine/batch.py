"""Running a batch: one load for all jobs that share it, each clip whole, and nothing finished done again."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from src.core.errors import BadInputError, NewsreelError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.core.progress import CancelToken
from src.core.request import Request
from src.core.result import Result
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.session import Sessions
from src.jobs.batch_file import BatchJob
from src.jobs.grouping import group


@dataclass(frozen=True)
class Planned:
    """A job that passed every check: its request with the final output path, and its plans."""

    job: BatchJob
    request: Request
    plans: tuple[Plan, ...]


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


def plan_batch(jobs: Iterable[BatchJob], output_dir: Path, hardware: Hardware) -> list[Planned]:
    """Check and plan every job; returns them in their best order.

    Raises BadInputError, or the one class that all errors share, listing every job that cannot run.
    """
    planned: list[Planned] = []
    errors: dict[str, NewsreelError] = {}
    for job in jobs:
        path = job.request.output_path or output_dir / f"{job.id}.mp4"
        request = job.request.model_copy(update={"output_path": path})
        try:
            if any(path.with_suffix("") == other.request.output_path.with_suffix("") for other in planned):
                raise BadInputError(f"output_path {path} is that of another job")
            if path.with_suffix(".json") == output_dir / "report.json":
                raise BadInputError("its manifest would be report.json, the batch's own report; give it another id")
            planned.append(Planned(job, request, plans_for(prepare(request), hardware)))
        except NewsreelError as error:
            errors[job.id] = error
    if errors:
        kinds = {type(error) for error in errors.values()}
        listed = "".join(f"\n  {name}: {error}" for name, error in errors.items())
        kind = kinds.pop() if len(kinds) == 1 else BadInputError
        raise kind(f"{len(errors)} job(s) cannot run, none was run{listed}")
    return group(planned, lambda item: item.plans[0])


def run_batch(
    planned: list[Planned],
    hardware: Hardware,
    resume: bool,
    announce: Callable[[Outcome], None],
    cancel: CancelToken | None = None,
) -> list[Outcome]:
    """Run the jobs in order; one that fails does not stop the others. announce: called after each."""
    sessions, outcomes = Sessions(), []
    for item in planned:
        outcome = _skipped(item) if resume else None
        outcomes.append(outcome or _run(item, hardware, sessions, cancel))
        announce(outcomes[-1])
    return outcomes


def _skipped(item: Planned) -> Outcome | None:
    result = finished(item.request.output_path, item.plans)
    return Outcome(item.job.id, "skipped", 0.0, result) if result else None


def finished(path: Path, plans: tuple[Plan, ...]) -> Result | None:
    """The result that lies at `path` already: its manifest is valid, is of one of these plans, and its clip whole."""
    try:
        manifest = read_manifest(path.with_suffix(".json"))
    except NewsreelError:
        return None
    if manifest.plan_sha256 not in {plan.digest() for plan in plans} or not path.is_file():
        return None
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != manifest.clip.sha256:
            return None
    return Result(
        path=path,
        manifest=path.with_suffix(".json"),
        plan=manifest.plan,
        frame_sha256=manifest.frame_sha256,
        costs=manifest.costs,
        report=manifest.report,
    )


def _run(item: Planned, hardware: Hardware, sessions: Sessions, cancel: CancelToken | None) -> Outcome:
    begin = time.perf_counter()
    try:
        result = generate(prepare(item.request), item.plans, hardware, cancel=cancel, sessions=sessions)
    except NewsreelError as error:
        if error.exit_code == 130:
            raise
        logger.error(f"{item.job.id}: {error}")
        return Outcome(item.job.id, "failed", time.perf_counter() - begin, error=str(error))
    except Exception as error:
        logger.exception(f"{item.job.id}: a bug, please report it")
        return Outcome(item.job.id, "failed", time.perf_counter() - begin, error=f"{type(error).__name__}: {error}")
    return Outcome(item.job.id, "completed", time.perf_counter() - begin, result)
