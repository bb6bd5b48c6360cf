"""What the training loop runs. A recipe is a subclass in a room of `src/recipes/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Recipe(ABC):
    """What is trained: one is a class of these. The trainer replaces `model` by what Accelerate
    makes of it.

    identity: what a checkpoint must agree with to be resumed.
    """

    name: str
    model: nn.Module
    identity: Mapping[str, str] = {}

    @abstractmethod
    def batch(self, step: int) -> Any:
        """What step `step` learns from; runs in a thread of its own, one step ahead. A list is
        taken piece by piece and its gradients added up (accumulation).
        """

    @abstractmethod
    def loss(self, batch: Any, generator: torch.Generator) -> Tensor:
        """The loss of a batch, or of a piece of one."""

    def describer(self) -> Callable[[], str]:
        """What tells a person which samples of the last loss were not finite, if it is asked."""
        return str

    def close(self) -> None:  # noqa: B027 - most have started nothing
        """End what `batch` has started."""
