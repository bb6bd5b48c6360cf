"""What a worker runs a job with: the engine, or the fake that stands for it where speed and crashes
are tested.
"""

import base64
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from src.artifacts.folder import FolderStore
from src.artifacts.store import ArtifactStore
from src.core.addresses import address_key
from src.core.durable import write_whole
from src.core.errors import BadInputError, NewsreelError
from src.core.progress import CancelToken, Listener, Progress
from src.jobs.model import REMIX_OF, Job
from src.worker.wall import DecodeLimits, Wall

if TYPE_CHECKING:
    from src.media.images import Photograph

READING = DecodeLimits(cpu_s=60.0, wall_s=120.0, memory=8 << 30)
"""For the whole of a photograph that was accepted: 100 megapixels of 16 bit take 3 GB while they
are converted.
"""
Picture = Callable[[bytes], None]
NO_MODEL = {
    "name": "fake",
    "revision": None,
    "weights": "",
    "width": 0,
    "height": 0,
    "frames": 0,
    "fps": 0.0,
}
GREY = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI"
    "////////////////////////////////////////////////"
    "////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/E"
    "ABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)
"""A JPEG of one grey pixel."""


@dataclass(frozen=True)
class RunContext:
    """Who watches a run: progress, pictures (JPEG bytes), and the wish to stop."""

    listener: Listener
    cancel: CancelToken
    picture: Picture


class JobRunner(Protocol):
    """Makes a job's file."""

    def warm(self, what: str) -> None:
        """Load what jobs of mode `what` need, before the first one comes."""
        ...

    def make(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        """Write the finished file (and its manifest beside it) at `path`; returns the result's
        JSON.

        Raises errors of the tree; CancelledError where the watch's cancel was heard. Nothing is
        left then.
        """
        ...

    def release(self) -> None:
        """Give memory back after lack of it."""
        ...

    def trouble(self) -> str | None:
        """What keeps a plain request from running now, such as weights that were removed; None for
        nothing. Fast.
        """
        ...


class FakeRunner:
    """Writes a few bytes in `seconds`, in steps that report and can be cancelled. A stand-in for
    tests and load.

    The request may say {"fake_steps": 10, "fake_seconds": 0.5, "fake_error": "boom", "fake_hang":
    60}. clip: a video of which each job gets a copy, for whoever looks at pages. A run that takes
    time shows a picture; one that hangs says nothing for so long, in its
    first attempt, and heeds no wish to stop.
    """

    def __init__(self, seconds: float = 0.0, clip: Path | None = None) -> None:
        self.seconds, self.clip = seconds, clip

    def warm(self, what: str) -> None:
        """Nothing to load."""

    def release(self) -> None:
        """Nothing to free."""

    def trouble(self) -> str | None:
        """Nothing is needed."""

    def make(self, job: Job, path: Path, watch: RunContext) -> dict[str, Any]:
        begin = time.perf_counter()
        steps = int(job.request.get("fake_steps", 4))
        time.sleep(float(job.request.get("fake_hang", 0.0)) if job.attempts == 1 else 0.0)
        self._compute(steps, float(job.request.get("fake_seconds", self.seconds)), watch)
        if "fake_error" in job.request:
            raise BadInputError(job.request["fake_error"])
        write_whole(path, self.clip.read_bytes() if self.clip else f"clip of {job.id}".encode())
        write_whole(path.with_suffix(".json"), b"{}")
        seconds = {"denoise": time.perf_counter() - begin}
        return {"report": {"score": 1.0, "accepted": True}, "frames": steps, "seconds": seconds}

    @staticmethod
    def _compute(steps: int, seconds: float, watch: RunContext) -> None:
        if seconds:
            watch.picture(GREY)
        for step in range(steps):
            watch.cancel.check()
            time.sleep(seconds / steps)
            watch.listener(Progress("denoise", step + 1, steps))


class EngineRunner:
    """Runs jobs through the engine; keeps the last session warm. files: where what jobs read lies.
    device: "auto", "cpu" or "cuda".
    """

    def __init__(self, files: ArtifactStore, device: str = "auto") -> None:
        from src.engine.generate import plain_model
        from src.engine.probe import probe
        from src.engine.session import Sessions

        self.files = files
        self.hardware, self.sessions, self.device, self.wall = (
            probe(device),
            Sessions(),
            device,
            Wall(READING),
        )
        self.spec = plain_model(device=device)

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
        make, field = {
            "generate": (self._generate, "input_image"),
            "upscale": (self._upscale, "input"),
        }[job.kind]
        with self.files.local(address_key(job.request[field])) as source:
            return make(job.request | {field: source}, path, watch)

    def _generate(self, asked: dict[str, Any], path: Path, watch: RunContext) -> dict[str, Any]:
        from src.core.config import validate
        from src.core.request import Request
        from src.engine.generate import generate, plans_for, prepare
        from src.engine.house_rules import with_house_rules

        own = {"output_path": path, "device": self.device}
        told = {name: value for name, value in asked.items() if name != REMIX_OF}
        request = validate(with_house_rules(told) | own, Request, "job")
        prepared = prepare(request, self._stored_photograph)
        plans = plans_for(prepared, self.hardware)
        with self._kept() as keep:
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
            "frames": result.plan.num_frames, "fps": result.plan.fps,
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

    def _upscale(self, asked: dict[str, Any], path: Path, watch: RunContext) -> dict[str, Any]:
        from src.core.upscale_request import UPSCALER
        from src.worker.upscale import run_upscale

        if asked.get("upscaler", UPSCALER) != UPSCALER or asked.get("refine"):
            self.sessions.close()  # what enlarges by diffusion wants the memory of a generator
            self.release()
        return run_upscale(asked, path, self.hardware, watch.listener, watch.cancel)


def _fake_seconds() -> float:
    text = os.environ.get("NEWSREEL_FAKE_SECONDS") or "0"
    try:
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    except ValueError:
        pass
    raise BadInputError(
        f"NEWSREEL_FAKE_SECONDS is {text!r}; it must be a number of seconds, such as 0.5"
    )


def _fake_clip() -> Path | None:
    text = os.environ.get("NEWSREEL_FAKE_CLIP")
    if text and not Path(text).is_file():
        raise BadInputError(f"NEWSREEL_FAKE_CLIP is {text!r}; it must be a video file")
    return Path(text) if text else None


def make_runner(name: str, device: str, files: ArtifactStore) -> tuple[JobRunner, dict[str, Any]]:
    """The runner called "engine" or "fake", and what it says about its device. files: where what
    jobs read lies. Raises BadInputError.
    """
    if name == "fake":
        seconds = _fake_seconds()
        device = os.environ.get("NEWSREEL_FAKE_DEVICE") or "fake"
        info = {"device": device, "name": "fake", "pid": os.getpid(), "model": NO_MODEL}
        return FakeRunner(seconds, _fake_clip()), info
    if name != "engine":
        raise BadInputError(f"--maker is {name!r}; it must be engine or fake")
    from src.engine.warm import describe_model

    runner = EngineRunner(files, device)
    hardware = runner.hardware
    info = {
        "device": hardware.device,
        "name": hardware.name,
        "memory": hardware.memory,
        "pid": os.getpid(),
    }
    return runner, info | {
        "model": describe_model(device),
        "hardware": hardware.model_dump(mode="json"),
    }
