"""What a worker runs jobs with: an engine session that stays warm between them."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.artifacts.folder import FolderStore
from src.artifacts.store import ArtifactStore
from src.core.addresses import address_key
from src.core.errors import BadInputError, NewsreelError
from src.core.progress import CancelToken, Listener
from src.jobs.model import LABELLED, PARENT, REMIX_OF, Job
from src.worker.runners import RunContext
from src.worker.wall import DecodeLimits, Wall

if TYPE_CHECKING:
    from src.core.plan import Plan
    from src.engine.generate import Prepared
    from src.media.images import Photograph

READING = DecodeLimits(cpu_s=60.0, wall_s=120.0, memory=8 << 30)
"""For the whole of a photograph that was accepted: 100 megapixels of 16 bit take 3 GB while they
are converted.
"""


class EngineRunner:
    """Runs jobs through the engine; keeps the last session warm. files: where what jobs read lies.
    device: "auto", "cpu" or "cuda". gpus: devices that a clip may take, on a CPU processes. Raises
    BadInputError where fewer cards are visible.
    """

    def __init__(self, files: ArtifactStore, device: str = "auto", gpus: int = 1) -> None:
        from src.engine.generate import plain_model
        from src.engine.probe import probe
        from src.engine.sessions import Sessions
        from src.worker.cards import holding

        self.files = files
        self.hardware, self.sessions, self.device, self.wall = (
            holding(probe(device), gpus),
            Sessions(),
            device,
            Wall(READING),
        )
        self.spec = plain_model(device=device)
        self._shared: dict[str, tuple[Plan, ...]] = {}

    def warm(self, what: str) -> None:
        from src.engine.warm import warm_up

        warm_up(what, self.device, self.hardware, self.sessions)

    def release(self) -> None:
        from src.pipelines.memory import release

        release()

    def trouble(self) -> str | None:
        from src.pipelines.locate import locate

        try:
            locate(self.spec)
        except NewsreelError as error:
            return str(error)
        return None

    def make(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        make = {"generate": self._generate, "upscale": self._upscale}[job.kind]
        return make(job, path, watch)

    def company(self, job: Job, waiting: Sequence[Job]) -> list[Job]:
        """By the planner's reckoning of memory; none where plans of its kind share nothing."""
        from src.engine.batching.microbatches import shared
        from src.engine.generate import sized
        from src.engine.planner import budget_bytes, most_prompts

        if job.kind != "generate":
            return []
        with self._prepared_aside(job) as prepared:
            plan = self._plans(prepared)[0]
            if shared(plan) is None:
                return []
            budget = budget_bytes(prepared.request, self.hardware)
            memory = sized(prepared, self.hardware).spec.memory
            return list(waiting)[: most_prompts(plan, memory, budget, len(waiting) + 1) - 1]

    def share(self, jobs: Sequence[Job], listener: Listener, cancel: CancelToken) -> None:
        from src.engine.batching.together import denoise_together, shared_plan

        with ExitStack() as stack:
            prepared = [stack.enter_context(self._prepared_aside(job)) for job in jobs]
            alone = [self._plans(each) for each in prepared]
            check_alike([plans[0] for plans in alone])
            plans = [shared_plan(plans[0], len(jobs)) for plans in alone]
            denoise_together(prepared, plans, self.sessions, listener, cancel)
        self._shared = {
            job.id: (plan, *others) for job, plan, others in zip(jobs, plans, alone, strict=True)
        }

    @contextmanager
    def _prepared_aside(self, job: Job) -> Iterator["Prepared"]:
        """The job's request, checked, before it is known where its clip goes."""
        with (
            tempfile.TemporaryDirectory(prefix="newsreel-") as folder,
            self._prepared(job, Path(folder) / "clip.mp4") as prepared,
        ):
            yield prepared

    @contextmanager
    def _prepared(self, job: Job, path: Path) -> Iterator["Prepared"]:
        """The job's request, checked; its photograph is at hand meanwhile."""
        from src.core.config import validate
        from src.core.request import Request
        from src.engine.generate import prepare
        from src.engine.house_rules import with_house_rules

        with self.files.local(address_key(job.request["input_image"])) as source:
            own = {"output_path": path, "device": self.device, "input_image": source}
            told = {
                name: value for name, value in job.request.items() if name not in (PARENT, REMIX_OF)
            }
            request = validate(with_house_rules(told) | own, Request, "job")
            yield prepare(request, self._stored_photograph)

    def _plans(self, prepared: "Prepared") -> tuple["Plan", ...]:
        from src.engine.generate import plans_for

        return plans_for(prepared, self.hardware)

    def _generate(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        from src.engine.generate import generate

        with self._prepared(job, path) as prepared, self._kept() as keep:
            plans = self._shared.pop(job.id, None) or self._plans(prepared)
            result = generate(
                prepared, plans, self.hardware, watch.listener, watch.cancel, self.sessions,
                watch.picture, keep,
            )  # fmt: skip
        return {
            "report": result.report, "seconds": result.costs.seconds,
            "peak_rss": result.costs.peak_rss, "peak_vram": result.costs.peak_vram,
            "warnings": list(result.warnings), "fallbacks": list(result.fallbacks),
            "frame_sha256": result.frame_sha256, "seed": result.plan.seed,
            "profile": result.plan.profile, "model": result.plan.session.model,
            "frames": result.frames, "fps": result.plan.fps,
            "width": result.plan.written.width, "height": result.plan.written.height,
            "registered": result.registered,
        }  # fmt: skip

    @contextmanager
    def _kept(self) -> Iterator[Path | None]:
        """Where the run keeps its photograph: a store elsewhere has it already."""
        if isinstance(self.files, FolderStore):
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
            yield Path(folder)

    def _stored_photograph(self, path: Path) -> "Photograph":
        """Decoded behind the wall. Raises BadInputError where its bytes are not those that its name
        says any more.
        """
        photograph = self.wall.read_photograph(path)
        if re.fullmatch(r"[0-9a-f]{64}", path.stem) and photograph.sha256 != path.stem:
            raise BadInputError(
                "the stored photograph was damaged since it was sent; send it again"
            )
        return photograph

    def _upscale(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        from src.core.upscale_request import UPSCALER
        from src.worker.upscale import run_upscale

        asked = job.request
        if asked.get(LABELLED):
            return self._label(asked, path, watch)
        if asked.get("upscaler", UPSCALER) != UPSCALER or asked.get("refine"):
            self.sessions.close()  # what enlarges by diffusion wants the memory of a generator
            self.release()
        with self.files.local(address_key(asked["input"])) as source:
            told = asked | {"input": source}
            return run_upscale(told, path, self.hardware, watch.listener, watch.cancel)

    def _label(self, asked: dict[str, Any], path: Path, watch: RunContext) -> dict[str, Any]:
        from src.worker.upscale import run_label

        with self.files.local(address_key(asked["input"])) as source:
            return run_label(source, path, watch.listener, watch.cancel)


def check_alike(plans: "Sequence[Plan]") -> None:
    """Raise BadInputError where the clips of these plans cannot share a forward."""
    from src.engine.batching.microbatches import shared

    if any(shared(plan) != shared(plans[0]) or shared(plan) is None for plan in plans):
        raise BadInputError("their plans differ in more than prompt, photograph and seed")
