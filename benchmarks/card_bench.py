"""What the rows of `benchmarks.card` share: one pipeline with random weights, clocks, peaks,
plans.
"""

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.large_model import LARGE, SMALL, build
from src.catalog.profiles import find_profile
from src.catalog.spec import ModelSpec
from src.core.plan import Cache, Plan, SessionKey, Size
from src.core.progress import CancelToken, Progress
from src.engine.costs import Stopwatch
from src.engine.estimates import counted_bytes
from src.engine.session import Session
from src.pipelines import compiling
from src.pipelines.families import family_named
from src.pipelines.memory import is_out_of_memory, release
from src.pipelines.models import find_model

Told = dict[str, Any]
"""What a row found, by name."""
FAMILY = family_named("cogvideox")
PROMPT = "press briefing, push in"
SMALL_SPEC = ModelSpec(
    id="small",
    family="cogvideox",
    description="a rehearsal",
    native=Size(width=64, height=48),
    max_sequence_length=32,
    licence="",
)


class Bench:
    """The 5B's architecture on the card, or a tiny one on the CPU. Not thread-safe."""

    def __init__(self, rehearse: bool, out: Path) -> None:
        self.rehearse, self.out = rehearse, out
        self.device = torch.device("cpu" if rehearse else "cuda")
        self.dtype = torch.float32 if rehearse else torch.bfloat16
        self.sizes = SMALL if rehearse else LARGE
        self.spec = SMALL_SPEC if rehearse else find_model("cogvideox-5b-i2v")
        self.frames = 9 if rehearse else 49
        self._pipe: Any = None
        if rehearse:
            compiling.BACKEND = "eager"  # traces graphs as ever, and generates no code

    @property
    def pipe(self) -> Any:
        """The pipeline; raises RuntimeError where none was built."""
        if self._pipe is None:
            raise RuntimeError("there is no pipeline: row build failed")
        return self._pipe

    def build(self) -> Any:
        """A fresh pipeline on the device in the place of the old one."""
        self.drop()
        self._pipe = build(self.sizes, self.device, self.dtype)
        return self._pipe

    def drop(self) -> None:
        """Let the pipeline and its compiled code go."""
        self._pipe = None
        compiling.forget_compiled()
        release()

    def session(self, **fields: Any) -> Session:
        """A session of the pipeline as it is now; loading changes nothing."""
        key = SessionKey(
            model=self.spec.id, source="random", device=self.device.type,
            dtype=str(self.dtype).removeprefix("torch."), **{"vae": "fast"} | fields,
        )  # fmt: skip
        return Session(key, Path("none"), lambda *_: self.pipe)

    def plan(self, session: Session, guidance: tuple[float, ...], **fields: Any) -> Plan:
        usual: dict[str, Any] = {
            "mode": "optimized", "profile": "card", "weights": {}, "image_sha256": "",
            "fit": "cover", "prompt": PROMPT, "negative_prompt": "",
            "max_sequence_length": self.spec.max_sequence_length, "scheduler": "checkpoint",
            "num_frames": self.frames, "fps": self.spec.defaults.fps, "native": self.spec.native,
            "delivered": self.spec.native, "upscaler": "lanczos", "seed": 0, "score": False,
            "cache": Cache(),
        }  # fmt: skip
        visited = FAMILY.timesteps(len(guidance), self.spec, stock=False)
        steps = {"session": session.key, "timesteps": visited.timesteps, "guidance": guidance}
        return Plan(**usual | steps | fields)

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 noise at native size."""
        size = (self.spec.native.height, self.spec.native.width, 3)
        return np.random.default_rng(0).integers(0, 255, size, np.uint8)

    def steps(self, session: Session, guidance: tuple[float, ...], **fields: Any) -> list[float]:
        """Seconds of each denoising step, without decoding."""
        session.load()
        clock = Clock(self.synchronize)
        session.denoise_together(
            [self.plan(session, guidance, **fields)], [self.pixels], clock, CancelToken()
        )
        return clock.steps

    def clip(
        self, session: Session, guidance: tuple[float, ...], **fields: Any
    ) -> tuple[list[float], dict[str, float]]:
        """Seconds of each denoising step, and of each stage, of a whole clip."""
        session.load()
        clock, watch = Clock(self.synchronize), Stopwatch()
        made = session.run(
            self.plan(session, guidance, **fields), self.pixels, watch, clock, CancelToken()
        )
        count = sum(1 for _ in made)
        self.synchronize()
        if count != self.frames:
            raise AssertionError(f"{count} frames came out, {self.frames} were asked for")
        return clock.steps, {name: round(value, 3) for name, value in watch.seconds.items()}

    def seconds(self, run: Callable[[], Any], repeats: int = 3) -> list[float]:
        """Seconds of each call, the device waited for."""
        found = []
        for _ in range(repeats):
            self.synchronize()
            begin = time.perf_counter()
            run()
            self.synchronize()
            found.append(round(time.perf_counter() - begin, 4))
        return found

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def start_row(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def end_row(self) -> dict[str, float]:
        """Peaks of the row in GB, as tensors had them and as the allocator held them."""
        if self.device.type == "cpu":
            return {}
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {
            "peak_allocated_gb": round(allocated / 1e9, 2),
            "peak_reserved_gb": round(reserved / 1e9, 2),
        }

    def counted_gb(self, name: str, tiling: bool = False) -> float | None:
        """What the planner counts for a profile; None for the tiny architecture, which it knows
        nothing of.
        """
        if self.rehearse:
            return None
        profile = find_profile(name).model_copy(update={"tiling": tiling})
        return round(counted_bytes(profile, self.spec) / 1e9, 2)

    @staticmethod
    def is_fatal(error: Exception) -> bool:
        """Whether the process can go on using the device; lack of memory is no failure of it."""
        return "CUDA error" in str(error) and not is_out_of_memory(error)


class Clock:
    """Listens to a run: seconds of each denoising step, the first one's from the end of encoding
    on.
    """

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.steps: list[float] = []
        self._synchronize, self._last = synchronize, time.perf_counter()

    def __call__(self, report: Progress) -> None:
        self._synchronize()
        now = time.perf_counter()
        if report.stage == "denoise":
            self.steps.append(round(now - self._last, 4))
        self._last = now


def median(values: list[float]) -> float:
    """Of values that were measured; raises where there is none."""
    return round(statistics.median(values), 4)
