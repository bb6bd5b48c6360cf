"""Loading a pipeline before the first job needs it."""

from dataclasses import replace
from typing import Any

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import REPOSITORY
from src.core.plan import Plan
from src.core.request import Request
from src.engine.fallback import step_down
from src.engine.generate import Prepared, plain_model, plans_for, prepare
from src.engine.render import render
from src.engine.session import Session
from src.engine.sessions import Sessions
from src.pipelines.locate import base_hash, locate

MODES = ("baseline", "optimized")
SAMPLE = REPOSITORY / "data" / "samples" / "sample_image_1.png"


def warm_up(
    mode: str, device: str, hardware: Hardware, sessions: Sessions, model: str = "auto"
) -> None:
    """Load what a plain request of this mode loads, and make a clip in two steps that nobody sees:
    kernels are chosen and graphs compiled before the first job. Raises BadInputError for an unknown
    mode.
    """
    if mode not in MODES:
        raise BadInputError(f"NEWSREEL_WARM is {mode!r}; it must be one of: {', '.join(MODES)}")
    request = Request(
        input_image=SAMPLE, prompt="warm up", mode=mode, device=device, model=model, seed=0
    )
    prepared = prepare(request)
    plans = short_plans(prepared, hardware)

    def run(plan: Plan, session: Session, _: tuple[str, ...]) -> None:
        for _frame in render(prepared.photograph.pixels, plan, session):
            pass

    step_down(plans, sessions.opener(prepared.folder), run, sessions.broken)


def short_plans(prepared: Prepared, hardware: Hardware) -> tuple[Plan, ...]:
    """The usual plans in two steps, one of them unguided where the usual schedule has such steps:
    each is a graph.
    """
    quick = replace(
        prepared, request=prepared.request.model_copy(update={"num_inference_steps": 2})
    )
    pairs = zip(plans_for(quick, hardware), plans_for(prepared, hardware), strict=True)
    return tuple(
        plan.model_copy(update={"guidance": (max(usual.guidance), min(usual.guidance))})
        for plan, usual in pairs
    )


def describe_model(device: str) -> dict[str, Any]:
    """That model as `GET /health` tells it: name, revision, weights, native size, frames, rate.

    weights: the first 12 digits of SHA-256 over the transformer's.
    """
    spec = plain_model(device=device)
    return {
        "name": spec.id, "revision": spec.revision, "weights": base_hash(locate(spec))[:12],
        "width": spec.native.width, "height": spec.native.height,
        "frames": spec.defaults.num_frames, "fps": spec.defaults.fps,
    }  # fmt: skip
