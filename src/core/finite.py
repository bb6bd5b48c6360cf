"""Numbers that are none: where they are found, and the sentence that ends the run. Imports no
torch.
"""

import math
from collections.abc import Iterable
from typing import Any

from src.core.errors import NotFiniteError
from src.core.plan import Plan


def is_finite(tensor: Any) -> bool:
    """Whether every number of a torch tensor is finite; nothing of its size is allocated."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    wide = tensor.detach().float() if tensor.element_size() == 1 else tensor.detach()
    if math.isfinite(float(wide.sum())):
        return True
    # a sum may overflow; the ends do not
    return all(math.isfinite(float(end)) for end in wide.aminmax())


def first_not_finite(tensors: Iterable[tuple[str, Any]]) -> str | None:
    """The name of the first tensor with a number that is not finite; None where all are."""
    return next((name for name, tensor in tensors if not is_finite(tensor)), None)


def check_made(tensor: Any, what: str, plan: Plan) -> None:
    """Raise NotFiniteError for latents or pixels of a plan's clip. what: such as "the latents of
    step 3 of 50".
    """
    if not is_finite(tensor):
        raise not_finite(what, plan)


def not_finite(what: str, plan: Plan) -> NotFiniteError:
    """The error that names the step and what most likely did it."""
    return NotFiniteError(
        f"{what} are not finite, so that there is no picture; {likely_cause(plan)}"
    )


def likely_cause(plan: Plan) -> str:
    """Adapters first, then a number format that overflows, then the photograph's model itself."""
    causes = []
    if plan.adapters:
        names = ", ".join(
            f"{adapter.file} (weight {adapter.weight:g})" for adapter in plan.adapters
        )
        causes.append(f"the adapter {names}: try a smaller weight, or go without it")
    if plan.session.dtype == "float16":
        causes.append("float16 overflows: try --dtype bfloat16 or float32")
    if plan.session.quantize != "none":
        causes.append(f"weights in {plan.session.quantize}: try --quantize none")
    return "likely " + "; or ".join(
        causes or [f"the weights of {plan.session.model}: fetch or train them again"]
    )
