"""Muon (Jordan et al., 2024): momentum whose matrices are made orthogonal, for the hidden layers of
a transformer.

torch.optim.Muon computes in bfloat16, which processors without AMX emulate slowly; here the
matrices are small and the dtype is that of the weights. Parameters that are no hidden matrices get
AdamW, in the same optimizer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, tuned by Muon's authors
# an update's root mean square, that of AdamW's: rates carry over (Liu et al., 2025,
# arXiv:2502.16982)
RMS = 0.2


class Muon(torch.optim.AdamW):
    """AdamW, but for the groups marked `orthogonal`, whose parameters must be matrices.

    Args:
        params: groups of parameters; a group may carry `orthogonal: True`.
        momentum: of the orthogonal groups, in Nesterov's form.
    """

    def __init__(self, params: Any, momentum: float = 0.95, **options: Any) -> None:
        super().__init__(params, **options)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both; AdamW passes over what has no gradient any more."""
        for group in self.param_groups:
            if group.get("orthogonal"):
                for alike in _by_shape(group["params"]):
                    self._orthogonal_step(alike, group)
        return super().step(closure)

    def _orthogonal_step(self, alike: Sequence[Tensor], group: dict[str, Any]) -> None:
        """Matrices of one shape at once: on a card, one launch for all of them."""
        gradients = [parameter.grad for parameter in alike]
        averages = [self._average(parameter) for parameter in alike]
        torch._foreach_lerp_(averages, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, averages, self.momentum)
        updates = orthogonalised(torch.stack(ahead)).unbind()
        torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(alike, updates, alpha=-group["lr"] * RMS * max(alike[0].shape) ** 0.5)
        for parameter in alike:
            parameter.grad = None

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        state.setdefault("step", torch.zeros(()))  # AdamW looks for it in every state that it loads
        return state.setdefault("momentum", torch.zeros_like(parameter))


def _by_shape(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Those that have a gradient, by shape, type and device."""
    alike = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            alike[parameter.shape, parameter.dtype, parameter.device].append(parameter)
    return list(alike.values())


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrices (..., m, n) with singular values near 1 (0.7 to 1.2), by Newton and
    Schulz's iteration.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.mT if tall else wide
