"""Stepping down: a plan that fails for lack of memory or by one of its switches gives way to the
next one.

Each plan is tried at most once. What is left, and why, is one sentence on standard error and in the
manifest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from loguru import logger

from src.core.errors import OutOfMemoryError
from src.core.plan import Cache, Plan
from src.engine.session import Session
from src.engine.session_run import tiled

T = TypeVar("T")
NAMES = {
    "compile": "compiling", "quantize": "quantised weights", "attention": "the attention kernel",
    "cache": "the cache",
}  # fmt: skip


@dataclass
class Steps:
    """The plans that are still to be tried.

    broken: switches that failed in an earlier clip of this process, with the reason; they are left
    out at once.
    left: a sentence for each plan that was given up.
    """

    plans: list[Plan]
    broken: dict[str, str]
    left: list[str] = field(default_factory=list)
    _tried: set[str] = field(default_factory=set)

    def next(self) -> Plan | None:
        """The next plan that was not tried yet, without what is broken."""
        while self.plans:
            plan = self.plans.pop(0)
            for switch, reason in self.broken.items():
                changed = without(plan, switch)
                if changed != plan:
                    self.left.append(f"{plan.profile}: {NAMES[switch]} left out: {reason}")
                    plan = changed
            if plan.digest() not in self._tried:
                self._tried.add(plan.digest())
                return plan
        return None

    def give_up(self, plan: Plan, switch: str, reason: str, keeps_latents: bool) -> str:
        """Note why a plan is left and queue what comes in its place; returns the sentence."""
        if switch != "memory":
            self.broken[switch] = reason
            self.left.append(f"{plan.profile}: {NAMES[switch]} failed: {reason}")
            self.plans.insert(0, without(plan, switch))
            return (
                f"{NAMES[switch]} failed with profile {plan.profile} ({reason}); trying again "
                "without it"
            )
        self.left.append(f"{plan.profile}: {reason}")
        if keeps_latents:
            self.plans.insert(0, tiled(plan))
            return (
                f"out of memory while decoding with profile {plan.profile}; decoding again, in "
                "tiles"
            )
        self.plans = [other for other in self.plans if _frugal(other, plan)]
        return f"out of memory with profile {plan.profile}; trying the next plan"


def _frugal(other: Plan, failed: Plan) -> bool:
    """Whether it makes sense to try: a plan that is known to need as much as the failed one does
    not.

    Estimates are of one clip in a forward; fewer clips need less.
    """
    fewer = other.prompts_per_forward < failed.prompts_per_forward
    return fewer or not failed.memory_estimate or other.memory_estimate < failed.memory_estimate


def without(plan: Plan, switch: str) -> Plan:
    """The plan with one switch off."""
    if switch == "cache":
        return plan.model_copy(update={"cache": Cache()})
    off = {"compile": False, "quantize": "none", "attention": "auto"}[switch]
    changes: dict[str, object] = {"session": plan.session.model_copy(update={switch: off})}
    if switch == "attention":
        changes["attention_measured"] = False
    return plan.model_copy(update=changes)


def became(plan: Plan) -> set[str]:
    """Digests of the plan and of everything that stepping down may make of it."""
    found = [plan]
    for switch in NAMES:
        found += [without(other, switch) for other in found]
    return {other.digest() for whole in found for other in (whole, tiled(whole))}


def step_down(
    plans: tuple[Plan, ...],
    open_session: Callable[[Plan], Session],
    run: Callable[[Plan, Session, tuple[str, ...]], T],
    broken: dict[str, str] | None = None,
) -> T:
    """Call `run(plan, session, left)` with the first plan, and with what comes in its place where
    that fails.

    Raises OutOfMemoryError when the most frugal plan does not fit either, and every error of
    another kind.
    """
    steps = Steps(list(plans), {} if broken is None else broken)
    while (plan := steps.next()) is not None:
        session = open_session(plan)
        try:
            return run(plan, session, tuple(steps.left))
        except Exception as error:
            from src.pipelines.failures import failing_switch, first_line

            switch = failing_switch(error, plan)
            if switch is None:
                raise
            reason = first_line(error)
        keeps = switch == "memory" and session.keeps_latents_of(plan)
        logger.warning(steps.give_up(plan, switch, reason, keeps))
        session.make_room() if keeps else session.unload()
    raise OutOfMemoryError(
        f"out of memory on every plan: {'; '.join(steps.left)}; a smaller --model needs less"
    )
