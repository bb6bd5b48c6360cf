"""Speed and memory of every profile against stock diffusers, 5B architecture, random weights, on a GPU.

    python -m benchmarks.generation_gpu --out FOLDER            # the 5B; about eight minutes on an H200-class card
    python -m benchmarks.generation_gpu --out FOLDER --small    # a tiny architecture, on any device: checks the script

One process, few steps each. A profile's time at its full step count is *extrapolated*: what is not denoising,
measured once, plus the median of its measured step times by kind (guided, unguided) for each step of the full
schedule. Step caches are left out, for their hit rate on random weights means nothing: the table gives the time
without hits. The floor is the arithmetic of the forwards at the matrix rate measured here.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.large_model import LARGE, SMALL, build
from src.catalog.models import find_model
from src.catalog.profiles import Profile, load_profiles
from src.catalog.spec import ModelSpec
from src.core.errors import NewsreelError
from src.core.plan import Cache, Plan, SessionKey, Size
from src.core.progress import CancelToken, Progress
from src.engine.costs import Stopwatch
from src.engine.planner import estimate_bytes
from src.engine.resolve import guidance_schedule
from src.engine.session import Session
from src.pipelines.loading import DTYPES, prepare_pipeline
from src.pipelines.memory import is_out_of_memory, release
from src.pipelines.schedulers import timesteps

TFLOP_A_FORWARD = 332.0  # 5B, 17,776 tokens: linear 169, attention 163
STOCK = Profile(name="stock", description="stock diffusers", devices=("cuda", "cpu"), vae="stock")
STOCK_STEPS, OUR_STEPS = 50, 28


@dataclass
class Clock:
    """Listens to a run: seconds of each denoising step, by whether it was guided."""

    guidance: tuple[float, ...]
    steps: dict[str, list[float]] = field(default_factory=lambda: {"guided": [], "unguided": []})
    _last: float = 0.0

    def start(self) -> None:
        synchronize()
        self._last = time.perf_counter()

    def __call__(self, report: Progress) -> None:
        synchronize()
        now = time.perf_counter()
        if report.stage == "denoise":
            kind = "guided" if self.guidance[report.done - 1] > 1 else "unguided"
            self.steps[kind].append(now - self._last)
        self._last = now


def main() -> None:
    arguments = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes, spec = (SMALL, small_spec()) if arguments.small else (LARGE, find_model("cogvideox-5b-i2v"))
    rate = None if arguments.small else matrix_rate(device)
    rows, stock_frames = [], None
    for profile in profiles_for(device):
        row, frames = measure(profile, sizes, spec, device, arguments.steps)
        stock_frames = frames if profile is STOCK else stock_frames
        rows.append(row | compare(row, rows, stock_frames, frames, rate))
        print(json.dumps(rows[-1]), flush=True)
        save(arguments.out, rows, device, rate)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


def profiles_for(device: torch.device) -> list[Profile]:
    """Stock first, then every profile of this device."""
    capability = torch.cuda.get_device_capability() if device.type == "cuda" else (0, 0)
    here = capability[0] + capability[1] / 10
    return [STOCK, *(p for p in load_profiles() if device.type in p.devices and p.capability <= here)]


def small_spec() -> ModelSpec:
    return ModelSpec(id="small", description="", native=Size(width=64, height=48), max_sequence_length=32, licence="")


def measure(
    profile: Profile, sizes: dict[str, Any], spec: ModelSpec, device: torch.device, steps: int
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Warm up (compiling happens there), then time one short run. Lack of memory is a result, not a crash."""
    full_steps = STOCK_STEPS if profile is STOCK else OUR_STEPS
    plan = plan_of(profile, spec, device, steps)
    session = Session(plan.session, Path(), loader_for(sizes, device))
    try:
        warm_up = time.perf_counter()
        run(session, plan)
        warm_up = time.perf_counter() - warm_up
        clock, watch, frames = run(session, plan)
    except (RuntimeError, NewsreelError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return {"profile": profile.name, "error": str(error).splitlines()[0]}, None
    finally:
        session.unload()
    return describe(profile, spec, plan, clock, watch, warm_up, full_steps), frames


def loader_for(sizes: dict[str, Any], device: torch.device) -> Any:
    def load(_: Path, key: SessionKey) -> Any:
        pipe = build(sizes, device, DTYPES[key.dtype])
        return prepare_pipeline(pipe if key.offload == "none" else pipe.to("cpu"), key)

    return load


def plan_of(profile: Profile, spec: ModelSpec, device: torch.device, steps: int) -> Plan:
    """A short plan of the profile; its guidance interval holds for the short schedule too, caches are off."""
    dtype = "bfloat16" if device.type == "cuda" else "float32"
    fields = {name: getattr(profile, name) for name in ("offload", "vae", "compile", "attention", "quantize", "tiling")}
    return Plan(
        mode="baseline" if profile is STOCK else "optimized", profile=profile.name, weights={}, image_sha256="",
        session=SessionKey(model=spec.id, source="random", device=device.type, dtype=dtype, **fields), fit="cover",
        prompt="press briefing at city hall", negative_prompt="", max_sequence_length=spec.max_sequence_length,
        scheduler="checkpoint", timesteps=timesteps(steps), cache=Cache(),
        guidance=guidance_schedule(steps, 6.0, profile.guidance_from, profile.guidance_until),
        num_frames=49 if spec.id != "small" else 9, fps=8.0, native=spec.native, delivered=spec.native,
        upscaler="lanczos", seed=0, score=False,
    )  # fmt: skip


def run(session: Session, plan: Plan) -> tuple[Clock, Stopwatch, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 255, (plan.native.height, plan.native.width, 3), np.uint8)
    clock = Clock(plan.guidance)
    session.load()
    watch = Stopwatch()
    clock.start()
    frames = np.stack(list(session.run(plan, pixels, watch, clock, CancelToken())))
    synchronize()
    return clock, watch, frames


def describe(
    profile: Profile, spec: ModelSpec, plan: Plan, clock: Clock, watch: Stopwatch, warm_up: float, full_steps: int
) -> dict[str, Any]:
    medians = {kind: statistics.median(values) for kind, values in clock.steps.items() if values}
    costs = watch.costs()
    fixed = costs.total - sum(sum(values) for values in clock.steps.values())
    schedule = guidance_schedule(full_steps, 6.0, profile.guidance_from, profile.guidance_until)
    step = [medians.get("guided" if scale > 1 else "unguided", medians.get("guided", 0.0)) for scale in schedule]
    return {
        "profile": profile.name,
        "step_seconds": {kind: round(value, 4) for kind, value in medians.items()},
        "fixed_seconds": round(fixed, 3),
        "measured_steps": plan.num_inference_steps,
        "full_steps": full_steps,
        "forwards": sum(2 if scale > 1 else 1 for scale in schedule),
        "extrapolated_seconds": round(fixed + sum(step), 2),
        "extrapolated_at_stock_steps": round(fixed + sum(step) / full_steps * STOCK_STEPS, 2),
        "warm_up_seconds": round(warm_up, 1),
        "peak_vram_gb": round(costs.peak_vram / 1e9, 2),
        "estimated_vram_gb": round(estimate_bytes(profile, spec) / 1e9, 2),
    }


def compare(
    row: dict[str, Any],
    rows: list[dict[str, Any]],
    stock: np.ndarray | None,
    frames: np.ndarray | None,
    rate: float | None,
) -> dict[str, Any]:
    """Speedups over stock (own steps, and equal steps), largest pixel difference, share of the arithmetic floor."""
    if "error" in row:
        return {}
    reference = rows[0] if rows else row
    found: dict[str, Any] = {
        "speedup": round(reference["extrapolated_seconds"] / row["extrapolated_seconds"], 2),
        "speedup_at_equal_steps": round(reference["extrapolated_seconds"] / row["extrapolated_at_stock_steps"], 2),
    }
    if stock is not None and frames is not None:
        found["mean_difference_to_stock"] = round(float(np.abs(stock.astype(int) - frames).mean()), 3)
    if rate:
        found["share_of_floor"] = round(row["forwards"] * TFLOP_A_FORWARD / rate / row["extrapolated_seconds"], 3)
    return found


def matrix_rate(device: torch.device, size: int = 8192) -> float:
    """TFLOP/s of a large bfloat16 product on random data, median of ten."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        synchronize()
        begin = time.perf_counter()
        left @ right
        synchronize()
        seconds.append(time.perf_counter() - begin)
    release()
    return 2 * size**3 / statistics.median(seconds[3:]) / 1e12


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def save(folder: Path, rows: list[dict[str, Any]], device: torch.device, rate: float | None) -> None:
    """Written after each profile, so that a run cut short keeps what it measured."""
    folder.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    table = {"device": name, "torch": torch.__version__, "matrix_tflops": rate and round(rate, 1), "rows": rows}
    (folder / "generation_gpu.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
