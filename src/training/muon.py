"""Muon (Jordan et al., 2024): momentum whose matrices are made orthogonal, for the hidden layers of
a transformer.

torch.optim.Muon computes in bfloat16, which processors without AMX emulate slowly; here the
matrices are small and the dtype is that of the weights. Parameters that are no hidden matrices get
AdamW, in the same optimizer.
"""

from __future__ import annotations

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
                for parameter in group["params"]:
                    self._orthogonal_step(parameter, group)
        return super().step(closure)

    def _orthogonal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        if parameter.grad is None:
            return
        gradient, state = parameter.grad, self.state[parameter]
        average = state.setdefault("momentum", torch.zeros_like(gradient))
        state.setdefault("step", torch.zeros(()))  # AdamW looks for it in every state that it loads
        average.lerp_(gradient, 1 - self.momentum)
        update = orthogonalised(gradient.lerp(average, self.momentum))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * RMS * max(parameter.shape) ** 0.5)
        parameter.grad = None


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix (m, n) with singular values near 1 (0.7 to 1.2), by Newton and Schulz's
    iteration.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
