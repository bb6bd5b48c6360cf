"""Whether a step cache skipped anything: what the last block computed, against the forwards that
were asked for.
"""

from typing import Any

from torch import nn

from src.pipelines.family import Part


class CacheWork:
    """Counts the forwards of a transformer, and those in which its last block computed its
    attention.

    part: what the transformer is. Counts from its making to `close()`. Not for compiled blocks,
    which hide what they compute.
    """

    def __init__(self, transformer: nn.Module, part: Part) -> None:
        self.asked = self.computed = 0
        queries = part.blocks_of(transformer)[-1].get_submodule(part.queries)
        hooks = ((transformer, self._ask), (queries, self._compute))
        self._handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]

    @property
    def idle(self) -> bool:
        """Whether forwards were asked for and every one was computed in full."""
        return 0 < self.asked <= self.computed

    def close(self) -> None:
        """Stop counting."""
        for handle in self._handles:
            handle.remove()

    def _ask(self, *_: Any) -> None:
        self.asked += 1

    def _compute(self, *_: Any) -> None:
        self.computed += 1
