"""A card where there is none: tensors that were moved to `cuda` are kept on the processor and
remembered as the card's, and whatever would meet two devices there is an error here.

`OnCard` are two of torch's modes. The one of functions answers for `.device` and moves; the one of
operators makes the card's tensors, and asks of each operator that all it is given lies on one
device. Numbers are the processor's. What threads of their own do is not seen.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD, CPU = torch.device("cuda", 0), torch.device("cpu")
MOVES = ("_to_copy", "copy_", "_pin_memory", "set_")
"""Operators that may be given tensors of two devices."""


class OnCard:
    """Entered, `cuda` is a device. Storages are kept, so that no later one has their address."""

    def __init__(self):
        self.storages = {}
        self._modes = _Functions(self), _Operators(self)

    def has(self, tensor):
        return tensor.untyped_storage()._cdata in self.storages

    def put(self, tensor):
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage
        return tensor

    def __enter__(self):
        for mode in reversed(self._modes):
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in self._modes:
            mode.__exit__(*error)


class _Functions(TorchFunctionMode):
    def __init__(self, card):
        super().__init__()
        self.card = card

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensor = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if tensor is not None and self.card.has(tensor):
            if func is torch.Tensor.device.__get__:
                return CARD
            if func is torch.Tensor.is_cuda.__get__:
                return True
            if name == "cpu" or name == "to" and _is_cpu((args[1:], kwargs)):
                return func(tensor.clone(), *args[1:], **kwargs)
            if name in ("numpy", "pin_memory", "__array__"):
                raise TypeError(f"{name} of a tensor on the card")
        if name == "to" and isinstance(args[1] if len(args) > 1 else None, torch.Tensor):
            other = args[1]
            return torch.Tensor.to(args[0], other.device, other.dtype, *args[2:], **kwargs)
        return func(*args, **kwargs)


class _Operators(TorchDispatchMode):
    def __init__(self, card):
        super().__init__()
        self.card = card

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, device = func._schema.name.split("::")[1], kwargs.get("device")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = self._all_on_card(name, given)
        if device is not None:
            there = torch.device(device).type == "cuda"
            kwargs = kwargs | {"device": CPU}
        elif name == "copy_":
            there = self.card.has(args[0])
        before = {leaf.untyped_storage()._cdata for leaf in given}
        made = func(*args, **kwargs)
        for leaf in tree_leaves(made):
            if there and isinstance(leaf, torch.Tensor):
                if leaf.untyped_storage()._cdata in before and not self.card.has(leaf):
                    continue
                self.card.put(leaf)
        return made

    def _all_on_card(self, name, given):
        """As torch has it: a number without dimensions may come from the processor."""
        where = {self.card.has(leaf) for leaf in given}
        if len(where) > 1 and name not in MOVES:
            for leaf in given:
                if not self.card.has(leaf) and leaf.ndim:
                    told = [(tuple(each.shape), self.card.has(each)) for each in given]
                    raise RuntimeError(f"{name}: tensors on two devices: {told}")
        return True in where


def _is_cpu(given):
    return any(isinstance(leaf, str | torch.device) and torch.device(leaf).type == "cpu"
               for leaf in tree_leaves(given))  # fmt: skip
