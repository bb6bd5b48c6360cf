"""Bytes that modules and their tensors take, counted where nothing is allocated: on the meta
device.

Attention counts its output alone, as fused kernels need no more. Imports torch: only what counts
memory imports this.
"""

import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten


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
        self._makers: dict[Hashable, Callable[[], Any] | None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = self._made(func, args, kwargs or {})
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.device.type == "meta":
                self._add(leaf.untyped_storage())
        return made

    def _made(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What the operator makes. Where new meta tensors are all that it makes of meta tensors, it
        is asked once for each layout: its shapes take many times longer than such tensors.
        """
        given: list[Tensor] = []
        told = _told(args, given), tuple(kwargs), _told(tuple(kwargs.values()), given)
        if func._schema.is_mutable or not _all_meta(given):
            return func(*args, **kwargs)
        key = func, torch.get_default_dtype(), told
        if make := self._makers.get(key):
            return make()
        made = func(*args, **kwargs)
        if key not in self._makers:
            self._makers[key] = _maker(made) if _is_new(tree_leaves(made), given) else None
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

    def rise_in(self, stage: Callable[[], Any]) -> tuple[Any, int]:
        """What the stage makes, and how far above what lived before it rises."""
        before, highest = self.now, self.peak
        self.peak = before
        made = stage()
        rise, self.peak = self.peak - before, max(highest, self.peak)
        return made, rise


class Repeated(nn.Module):
    """Counts calls of a module on tensors of like shapes once: the first runs, later ones make its
    outputs and rise as far. For modules whose work shapes alone decide. Not counted, it is the
    module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._seen: dict[str, tuple[Callable[[], Any], int]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        live = _get_current_dispatch_mode()
        if not isinstance(live, LiveBytes):
            return self.module(*args, **kwargs)
        leaves, form = tree_flatten((args, kwargs))
        key = f"{form} {[_looks(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]}"
        if key not in self._seen:
            made, rise = live.rise_in(lambda: self.module(*args, **kwargs))
            self._seen[key] = _maker(made), rise
            return made
        make, rise = self._seen[key]
        live.peak = max(live.peak, live.now + rise)
        return make()


def _all_meta(leaves: Iterable[Any]) -> bool:
    return all(isinstance(leaf, Tensor) and leaf.device.type == "meta" for leaf in leaves)


def _is_new(made: Sequence[Any], given: Iterable[Tensor]) -> bool:
    """Whether these are meta tensors that share nothing with those given: some operators' schemas
    do not say that they may."""
    old = {leaf.untyped_storage()._cdata for leaf in given}
    return _all_meta(made) and all(leaf.untyped_storage()._cdata not in old for leaf in made)


def _told(given: Any, tensors: list[Tensor]) -> Hashable:
    """All of an argument that decides what an operator makes on the meta device: 1 is not 1.0. Its
    tensors are added to those of the others.
    """
    if isinstance(given, Tensor):
        tensors.append(given)
        return _looks(given)
    if isinstance(given, list | tuple):
        return tuple(_told(each, tensors) for each in given)
    return type(given), given


def _looks(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.dtype


def _maker(made: Any) -> Callable[[], Any]:
    """Makes tensors like these, of which views share what these share."""
    leaves, form = tree_flatten(made)
    tensors = {at: leaf for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
    views = {at: (leaf.untyped_storage()._cdata, *_layout(leaf)) for at, leaf in tensors.items()}
    sizes = {view[0]: tensors[at].untyped_storage().nbytes() for at, view in views.items()}
    others = [None if at in tensors else leaf for at, leaf in enumerate(leaves)]

    def make() -> Any:
        whole = {key: torch.empty(size, dtype=torch.uint8, device="meta")
                 for key, size in sizes.items()}  # fmt: skip
        made = list(others)
        for at, (key, shape, stride, offset, dtype) in views.items():
            made[at] = whole[key].view(dtype).as_strided(shape, stride, offset)
        return tree_unflatten(made, form)

    return make


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
