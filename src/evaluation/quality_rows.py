"""The settings whose price in quality the table shows, and how one of them is measured."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.catalog.spec import ModelSpec
from src.core.config import validate
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.core.request import Request
from src.core.wording import counted
from src.engine.costs import Stopwatch
from src.engine.render import render_clip
from src.engine.resolve import resolve
from src.engine.schedule import steps_and_guidance
from src.engine.sessions import Sessions
from src.metrics.measured_move import measure
from src.metrics.psnr import psnr

REFERENCE = "steps-50"
STAGES = ("encode", "denoise", "decode")
GUIDED: dict[str, Any] = {"guidance_scale": 6.0, "num_inference_steps": 28}
"""As the large models are sampled; the embedded one is not guided by itself."""
ROWS: dict[str, dict[str, Any]] = {
    REFERENCE: {"num_inference_steps": 50},
    "steps-28": {"num_inference_steps": 28},
    "steps-16": {"num_inference_steps": 16},
    "steps-8": {"num_inference_steps": 8},
    "default": {},
    "steps-2": {"num_inference_steps": 2},
    "guidance-6-28": GUIDED,
    "guidance-0-0.8-28": GUIDED | {"guidance_interval": (0.0, 0.8)},
    "guidance-0-0.5-28": GUIDED | {"guidance_interval": (0.0, 0.5)},
    "guidance-0.25-1-28": GUIDED | {"guidance_interval": (0.25, 1.0)},
    "first_block-0.1-28": {"cache": "first_block=0.1", "num_inference_steps": 28},
    "first_block-0.3-28": {"cache": "first_block=0.3", "num_inference_steps": 28},
    "taylorseer-2-28": {"cache": "taylorseer=2", "num_inference_steps": 28},
    "taylorseer-3-28": {"cache": "taylorseer=3", "num_inference_steps": 28},
    "pyramid-2-28": {"cache": "pyramid=2", "num_inference_steps": 28},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
}
"""Name of a row: what it changes of a plain request."""


@dataclass(frozen=True)
class BenchScene:
    """One clip to make. photograph: (H, W, 3) uint8 at native size. move:
    what the prompt asks for.
    """

    name: str
    photograph: np.ndarray
    prompt: str
    move: str
    seed: int


@dataclass
class Bench:
    """Makes clips of one model. frames: a folder that keeps native frames by plan, so that rows run
    one by one.
    """

    spec: ModelSpec
    folder: Path
    weights: dict[str, str]
    hardware: Hardware
    frames: Path
    sessions: Sessions = field(default_factory=Sessions)
    _warm: set[str] = field(default_factory=set)

    def plan(self, scene: BenchScene, changes: dict[str, Any]) -> Plan:
        """The plan of a row; `num_inference_steps` and the like replace the model's defaults.
        Raises BadInputError for values that no request takes.
        """
        digest = hashlib.sha256(scene.photograph.tobytes()).hexdigest()
        settings = {
            "input_image": Path(scene.name), "prompt": scene.prompt, "model": self.spec.id,
            "device": self.hardware.device, "delivery": "lanczos", **changes,
        }  # fmt: skip
        request = validate(settings, Request, "request")
        return resolve(request, self.spec, self.hardware, {}, self.weights, digest, scene.seed)[0]

    def settings(self, name: str) -> str:
        """Steps and guidance of a row as the model's defaults are now: rows of older defaults are
        not the same rows.
        """
        request = Request(input_image=Path(name), **ROWS[name])
        steps, scale = steps_and_guidance(request, self.spec, None)
        named = counted(steps, "step")
        return f"{named}, guidance {scale:g}, {self.spec.defaults.num_frames} frames"

    def keeps(self, row: dict[str, Any]) -> bool:
        """Whether a row that was measured before belongs into the table of these weights and
        settings.
        """
        if row["row"] not in ROWS or row["weights"] != weights_key(self.weights):
            return False
        return row.get("settings", self.settings(row["row"])) == self.settings(row["row"])

    def make(self, scene: BenchScene, changes: dict[str, Any]) -> tuple[np.ndarray, float]:
        """Native frames (F, H, W, 3) uint8 and seconds of encoding, denoising and decoding; the
        frames are kept.
        """
        plan = self.plan(scene, changes)
        self._warm_up(scene, changes, plan)
        frames, seconds = self._run(plan, scene)
        self.frames.mkdir(parents=True, exist_ok=True)
        np.save(self._kept(plan), frames)
        return frames, seconds

    def known(self, scene: BenchScene, changes: dict[str, Any]) -> np.ndarray:
        """The frames of a plan, made if they were not made before."""
        kept = self._kept(self.plan(scene, changes))
        return np.load(kept) if kept.is_file() else self.make(scene, changes)[0]

    def _kept(self, plan: Plan) -> Path:
        return self.frames / f"{plan.digest()[:32]}.npy"

    def _warm_up(self, scene: BenchScene, changes: dict[str, Any], plan: Plan) -> None:
        """One untimed step after each load: first runs pay for much that later ones do not."""
        key = plan.session.model_dump_json()
        if key not in self._warm:
            self._warm = {key}  # opening another session unloads the one before
            self._run(self.plan(scene, changes | {"num_inference_steps": 1, "cache": None}), scene)

    def _run(self, plan: Plan, scene: BenchScene) -> tuple[np.ndarray, float]:
        watch, session = Stopwatch(), self.sessions.opener(self.folder)(plan)
        frames = render_clip(scene.photograph, plan, session, watch)
        return frames, sum(watch.seconds[stage] for stage in STAGES)


def measure_row(
    bench: Bench,
    name: str,
    scenes: Sequence[BenchScene],
    directed: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """One row. The first scenes without the last `directed` ones give speed and PSNR, those the
    direction besides.

    directed: how many further scenes are made only to see whether the move is the prompt's.
    """
    compared = scenes[: len(scenes) - directed]
    figures: dict[str, list[float]] = {"seconds": [], "to_reference": [], "to_uncached": []}
    right = 0
    for scene in scenes:
        frames, seconds = bench.make(scene, ROWS[name])
        right += measure(frames).name == scene.move
        if len(figures["seconds"]) < len(compared):
            figures["seconds"].append(seconds)
            for kind, changes in comparands(name):
                figures[kind].append(psnr(frames, bench.known(scene, changes)))
        tell(f"{name}: {scene.name}, {scene.move}: {seconds:.1f} s")
    return _summary(bench, name, figures, right, len(scenes))


def comparands(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a row's frames are compared with: the reference, and the same step count with nothing
    else changed.
    """
    if name != REFERENCE:
        yield "to_reference", ROWS[REFERENCE]
    steps = {key: value for key, value in ROWS[name].items() if key == "num_inference_steps"}
    if steps != ROWS[name]:
        yield "to_uncached", steps


def _summary(
    bench: Bench, name: str, figures: dict[str, list[float]], right: int, clips: int
) -> dict[str, Any]:
    means = {
        kind: round(statistics.fmean(values), 2) if values else None
        for kind, values in figures.items()
    }
    return {
        "row": name,
        "seconds": round(statistics.median(figures["seconds"]), 3),
        "psnr_to_reference": means["to_reference"],
        "psnr_to_uncached": means["to_uncached"],
        "right": right,
        "clips": clips,
        "compared": len(figures["seconds"]),
        "weights": weights_key(bench.weights),
        "settings": bench.settings(name),
        "hardware": bench.hardware.name,
    }


def weights_key(weights: dict[str, str]) -> str:
    """One hash for all weight files: rows of other weights do not belong into one table."""
    return hashlib.sha256(repr(sorted(weights.items())).encode()).hexdigest()[:16]


def find_rows(text: str | None) -> list[str]:
    """The rows named in a list with commas, all for None. Raises BadInputError with the list of
    known ones.
    """
    names = [name.strip() for name in text.split(",")] if text else list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise BadInputError(
            f"--rows has no {', '.join(map(repr, unknown))}; known: {', '.join(ROWS)}"
        )
    return names
