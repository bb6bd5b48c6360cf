"""Bytes that modules and their tensors take, counted where nothing is allocated: on the meta
device.

Attention counts its output alone, as fused kernels need no more. Imports torch: only what counts
memory imports this.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operators make while they live, but for those of `modules`. now,
    peak: bytes.
    """

    def __init__(self, modules: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        held = (
            tensor for module in modules for tensor in (*module.parameters(), *module.buffers())
        )
        self._known = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.device.type == "meta":
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Scaled dot-product attention that makes its output and nothing else."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else kwargs["query"])
        return func(*args, **(kwargs or {}))


def peak_of(stage: Callable[[], Any], modules: Iterable[nn.Module]) -> int:
    """The most bytes that tensors made by `stage` take at once, beside the weights of `modules`."""
    live = LiveBytes(modules)
    with torch.no_grad(), FusedAttention(), live:
        stage()
    return live.peak


def bytes_of(module: nn.Module) -> int:
    """Weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
