"""The order of jobs that changes models, adapters and sizes least. Pure."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeVar

from src.core.errors import BadInputError
from src.core.plan import Plan

T = TypeVar("T")
MOST = 64  # clips in one forward


def group(items: Iterable[T], plan_of: Callable[[T], Plan]) -> list[T]:
    """Stable order: by what is loaded, then adapters, then size and length, then prompt.

    The groups come in the order of their first item, so that what was asked first starts first;
    inside a group the order is kept. What costs most to change is the outermost key.
    """
    ordered = list(items)
    ranks: dict[tuple[str, ...], int] = {}
    for item in ordered:
        for depth in range(1, len(_keys(plan_of(item))) + 1):
            ranks.setdefault(_keys(plan_of(item))[:depth], len(ranks))
    return sorted(ordered, key=lambda item: _path(_keys(plan_of(item)), ranks))


def _path(keys: tuple[str, ...], ranks: dict[tuple[str, ...], int]) -> tuple[int, ...]:
    return tuple(ranks[keys[:depth]] for depth in range(1, len(keys) + 1))


def _keys(plan: Plan) -> tuple[str, ...]:
    """From what costs most to change to what costs least."""
    adapters = ",".join(f"{adapter.sha256}={adapter.weight}" for adapter in plan.adapters)
    shape = f"{plan.native} {plan.num_frames} {plan.scheduler} {plan.num_inference_steps}"
    return plan.session.model_dump_json(), adapters, shape, f"{plan.prompt}\n{plan.negative_prompt}"


def microbatches(
    items: Iterable[T], plan_of: Callable[[T], Plan], most: Callable[[T], int]
) -> list[list[T]]:
    """Neighbours whose clips can share every forward, at most `most(item)` of them in one; alone
    where none can.

    Plans share when they differ in prompt, photograph and seed alone. A step cache decides from all
    clips of a forward at once, so that each would depend on its neighbours: plans with one stay
    alone, as do those of the stock pipeline and those that several processes share.
    """
    batches: list[list[T]] = []
    for item in items:
        last = batches[-1] if batches else []
        plan = plan_of(item)
        if last and shared(plan_of(last[0])) == shared(plan) is not None and len(last) < most(item):
            last.append(item)
        else:
            batches.append([item])
    return batches


def clips_per_forward(count: int | None) -> int:
    """As asked for, 1 without. Raises BadInputError."""
    if count is not None and not 1 <= count <= MOST:
        raise BadInputError(f"--prompts-per-forward is {count}; it must be 1 to {MOST}")
    return count or 1


def shared(plan: Plan) -> Plan | None:
    """The plan without what may differ between clips of one forward; None where it shares none."""
    if plan.mode == "baseline" or plan.cache.name != "none" or plan.session.gpus > 1:
        return None
    own = {
        "prompt": "",
        "negative_prompt": "",
        "image_sha256": "",
        "seed": 0,
        "fit": "",
        "score": False,
        "fps": 0.0,
    }
    after = {"delivered": plan.native, "upscaler": "", "upscale": None, "upscaler_weights": {},
             "filters": (), "finishers": ()}  # fmt: skip
    return plan.model_copy(update=own | after)


def changes(plans: Iterable[Plan]) -> dict[str, int]:
    """How often neighbours differ in session, adapters, shape and prompt: what grouping is there to
    lower.
    """
    rows = [_keys(plan) for plan in plans]
    names = ("session", "adapters", "shape", "prompt")
    pairs = list(pairwise(rows))
    return {name: sum(a[index] != b[index] for a, b in pairs) for index, name in enumerate(names)}
