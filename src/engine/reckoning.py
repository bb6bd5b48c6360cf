"""What a job costs: frames of 720x480 that are written, or that could be in the time it computes.

An upscaler's work is counted (`work` in configs/upscalers, by `python -m
src.evaluation.upscaler_work`): operations for a frame of 720x480. What a device does meanwhile:

    cost of a written frame = max(1, work / (RATES[device] * FRAME_S))

So resampling and our `fast` cost 1 everywhere; STAR `fast` at 4x about 13,000 on a processor and 17
on a card. Optimised builds count nothing: clients cannot ask for one, and none of those that exist
was faster where that was measured (docs/upscaling.md).
"""

from __future__ import annotations

from src.catalog.spec import ModelSpec
from src.catalog.upscalers import find_preset, find_upscaler
from src.core.plan import Size
from src.core.refinement import Refinement, parse
from src.core.request import Request
from src.engine.delivered import asked_enlargement
from src.engine.drafts import drafted
from src.jobs.model import UNIT
from src.upscaling.files import LANCZOS

FRAME_S = 5.3 / 49
"""Seconds in which a frame of the unit is written, the whole stream with `fast` at 2x on two cores
(docs/upscaling.md, Throughput).
"""
RATES = {"cpu": 49 * 0.00979 / 3.72, "cuda": 100.0}
"""1e12 operations a second. cpu: of `fast` alone on those two cores, measured. cuda: assumed, an
eighth of what an H100 was measured to multiply in bfloat16 (docs/benchmarks.md); no upscaler was
measured on a card.
"""


def effort(preset: str, scale: int, device: str, refine: str | None = None) -> float:
    """What a written frame costs, at least 1. preset: "lanczos", `PRESET` or `ID/PRESET`."""
    work = 0.0 if preset == LANCZOS else _work(preset, scale)
    if refine:
        asked = parse(refine)
        spec = find_upscaler(asked.name)
        usual = spec.preset(spec.usual).work
        work += usual[min(usual)] * asked.steps / Refinement().steps
    return max(1.0, work / (RATES[device] * FRAME_S))


def _work(preset: str, scale: int) -> float:
    spec, name = find_preset(preset, "the preset")
    spec.check_scale(name, scale)
    return spec.preset(name).work.get(scale, 0.0)


def frames_of(frames: int, size: Size, scale: int = 1) -> float:
    """Frames of the unit in a video of this size, enlarged by a scale."""
    return frames * size.width * size.height * scale**2 / UNIT


def clip_cost(request: Request, spec: ModelSpec, device: str) -> float:
    """Of a clip: what is written, and what its delivery and its upscaling compute beyond that."""
    spec = drafted(spec, request.draft)
    frames = request.num_frames or spec.defaults.num_frames
    way = asked_enlargement(request, spec)
    made = frames_of(frames, way.written)
    if way.upscale:
        made *= effort(way.upscale.preset, way.upscale.scale, device)
    beyond = effort(way.upscaler, way.scale, device) - 1  # what is computed for the delivered size
    return made + frames_of(frames, way.native, way.scale) * beyond
