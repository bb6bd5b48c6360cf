"""Clips that are denoised in shared forwards; batches and workers call this alike."""

from collections.abc import Sequence

from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, ignore
from src.engine.generate import Prepared
from src.engine.render import fitted
from src.engine.sessions import Sessions


def shared_plan(plan: Plan, size: int) -> Plan:
    """The plan of a clip that shares its forwards with `size - 1` others."""
    return plan.model_copy(update={"prompts_per_forward": size, "determinism": "tolerance"})


def denoise_together(
    prepared: Sequence[Prepared],
    plans: Sequence[Plan],
    sessions: Sessions,
    listener: Listener = ignore,
    cancel: CancelToken | None = None,
) -> None:
    """Denoise the clips; their latents wait in the warm session for whoever makes these very plans.

    plans: of `prepared` in order, as `shared_plan` gives them. Raises CancelledError between steps,
    and any error of the tree; nothing waits then.
    """
    first = prepared[0]
    session = sessions.opener(first.folder, first.adapters)(plans[0])
    pictures = [
        fitted(each.photograph.pixels, plan) for each, plan in zip(prepared, plans, strict=True)
    ]
    session.denoise_together(plans, pictures, listener, cancel or CancelToken())
