"""A distilled adapter decides what the request leaves open: guidance, steps and scheduler.

No profile does that (`turbo` would be its name): profiles say how forwards are computed, whatever
the adapter is, and the planner may step from one to another. How many forwards there are, and which
ones, is what this adapter was trained for, under every profile; so its header says it.
"""

from collections.abc import Sequence

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Adapter, Distilled
from src.core.request import Request
from src.core.wording import counted
from src.pipelines.families import family_of

UNGUIDED = 1.0


def as_distilled(request: Request, spec: ModelSpec, adapters: Sequence[Adapter]) -> Request:
    """The request with what its distilled adapter decides; the same where it has none.

    Raises BadInputError where the request says otherwise than the adapter, or has two of them.
    """
    distilled = [adapter for adapter in adapters if adapter.distilled]
    if not distilled:
        return request
    if len(distilled) > 1:
        names = " and ".join(adapter.file for adapter in distilled)
        raise BadInputError(f"{names} are both distilled and stand for each other; give one")
    adapter = distilled[0]
    made = adapter.distilled
    assert made is not None
    _check_weight(adapter)
    _check_guidance(request, adapter, made)
    if made.stage == "guidance":
        return request.model_copy(update={"guidance_scale": UNGUIDED})
    _check_steps(request, spec, adapter, made)
    return request.model_copy(
        update={
            "guidance_scale": UNGUIDED,
            "num_inference_steps": len(made.timesteps),
            "scheduler": made.scheduler,
            "cache": request.cache or "none",  # each of so few steps counts
        }
    )


def distilled_note(adapters: Sequence[Adapter]) -> str:
    """What a person is told of the distilled adapter, "" where there is none."""
    return "".join(f"; {_words(adapter)}" for adapter in adapters if adapter.distilled)


def _words(adapter: Adapter) -> str:
    made = adapter.distilled
    assert made is not None
    steps = f", {counted(len(made.timesteps), 'step')} of {made.scheduler}" * bool(made.timesteps)
    return f"{adapter.file} gives guidance {made.guidance_scale:g} in one forward{steps}"


def _check_weight(adapter: Adapter) -> None:
    if adapter.weight != 1:
        raise BadInputError(
            f"{adapter.file} is distilled and works whole or not at all; leave away the weight "
            f"{adapter.weight:g}"
        )


def _check_guidance(request: Request, adapter: Adapter, made: Distilled) -> None:
    if request.guidance_scale is not None and request.guidance_scale > UNGUIDED:
        raise BadInputError(
            f"--guidance-scale {request.guidance_scale:g} would guide twice: {adapter.file} has "
            f"guidance {made.guidance_scale:g} in itself; leave it out"
        )
    for name in ("guidance_interval", "negative_prompt"):
        if getattr(request, name):
            raise BadInputError(
                f"--{name.replace('_', '-')} has no effect with {adapter.file}, which has guidance "
                f"{made.guidance_scale:g} in itself; leave it out"
            )


def _check_steps(request: Request, spec: ModelSpec, adapter: Adapter, made: Distilled) -> None:
    steps = len(made.timesteps)
    if request.mode == "baseline":
        raise BadInputError(
            f"{adapter.file} is for {steps} steps of {made.scheduler}, and mode baseline runs the "
            "checkpoint's own scheduler; take mode optimized (python -m src.optimized_inference)"
        )
    if request.num_inference_steps not in (None, steps):
        raise BadInputError(
            f"--num-inference-steps {request.num_inference_steps}: {adapter.file} was distilled to "
            f"{steps}; leave it out"
        )
    if request.scheduler not in (None, made.scheduler):
        raise BadInputError(
            f"--scheduler {request.scheduler}: {adapter.file} was distilled for {made.scheduler}; "
            "leave it out"
        )
    visited = family_of(spec).timesteps(steps, spec, False, request.num_frames).timesteps
    if tuple(visited) != made.timesteps:
        raise BadInputError(
            f"{adapter.file} was distilled for other timesteps than {spec.id} visits in "
            f"{counted(steps, 'step')}; distill one for this model"
        )
