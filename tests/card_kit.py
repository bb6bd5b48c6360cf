"""A card where there is none: tensors that were moved to `cuda` are kept on the processor and
remembered as the card's, and whatever would meet two devices there is an error here.

`OnCard` are two of torch's modes. The one of functions answers for `.device` and moves; the one of
operators makes the card's tensors, and asks of each operator that all it is given lies on one
device. Numbers are the processor's, and copies are done at once: a copy that is awaited too late is
not seen, nor what threads of their own do, what tensors hold that are made of others (torchao's),
a second card, and how much lies on the card.
"""

from types import SimpleNamespace

import pytest
import torch
from diffusers.pipelines import pipeline_utils
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CARD, CPU = torch.device("cuda", 0), torch.device("cpu")
MOVES = ("_to_copy", "copy_", "_pin_memory", "set_", "_has_compatible_shallow_copy_type")
"""Operators that may be given tensors of two devices."""
TOLD = {
    torch.Tensor.device.__get__: CARD,
    torch.Tensor.is_cuda.__get__: True,
    torch.Tensor.is_cpu.__get__: False,
}
"""What a tensor of the card says of its place."""
MAKERS = ("tensor", "as_tensor", "asarray")
HOSTS = ("numpy", "pin_memory", "__array__")
ASKED = {"to", "cuda", "type_as", "get_device", "new_tensor", "cpu", *MAKERS, *HOSTS}
"""Functions that answer otherwise on a card; a clip calls thousands that do not."""
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")


class OnCard:
    """Entered, `cuda` is a device. Storages are kept, so that no later one has their address."""

    def __init__(self, memory=24 << 30):
        self.storages = {}
        properties = SimpleNamespace(name="a card", major=8, minor=9, uuid="0", total_memory=memory)
        self._told = {
            "is_available": lambda: True, "device_count": lambda: 1, "_lazy_init": lambda: None,
            "get_device_properties": lambda *_: properties, "current_device": lambda: 0,
            "get_device_capability": lambda *_: (8, 9), "mem_get_info": lambda *_: (memory, memory),
            "memory_reserved": lambda *_: 0, "max_memory_allocated": lambda *_: 1,
            "max_memory_reserved": lambda *_: 1,
            "reset_peak_memory_stats": lambda *_: None, "empty_cache": lambda: None,
            "synchronize": lambda *_: None, "current_stream": torch.cpu.current_stream,
            "get_rng_state": lambda *_: torch.get_rng_state(), "set_rng_state": lambda *_: None,
            "get_rng_state_all": lambda: [torch.get_rng_state()],
            "set_rng_state_all": lambda _: None, "manual_seed_all": lambda _: None,
        }  # fmt: skip
        self._modes = _Functions(self), _Operators(self)
        self._patched = pytest.MonkeyPatch()

    def has(self, tensor):
        return tensor.untyped_storage()._cdata in self.storages

    def put(self, tensor):
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage
        return tensor

    def __enter__(self):
        for name, value in self._told.items():
            self._patched.setattr(torch.cuda, name, value)
        self._patched.setattr(pipeline_utils, "get_device", lambda: "cuda")
        for mode in reversed(self._modes):
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in self._modes:
            mode.__exit__(*error)
        self._patched.undo()


class _Functions(TorchFunctionMode):
    def __init__(self, card):
        super().__init__()
        self.card = card

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name == "__get__":
            told = TOLD.get(func)
            return func(*args) if told is None or not self.card.has(args[0]) else told
        if name not in ASKED:
            return func(*args, **kwargs)
        return self._answered(name, func, args, kwargs)

    def _answered(self, name, func, args, kwargs):
        tensor = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if name == "to" and tensor is not None:
            return self._moved(tensor, *args[1:], **kwargs)
        if name in MAKERS and kwargs.get("device") is not None:
            return self._moved(func(*args, **kwargs | {"device": None}), kwargs["device"])
        if name in ("cuda", "type_as") and tensor is not None:
            return self._moved(tensor, CARD if name == "cuda" else args[1])
        if tensor is None or not self.card.has(tensor):
            return func(*args, **kwargs)
        if name == "get_device":
            return CARD.index
        if name == "new_tensor":
            return self.card.put(func(*args, **kwargs))
        if name == "cpu":
            return self._moved(tensor, CPU)
        if name in HOSTS:
            raise TypeError(f"{name} of a tensor on the card")
        return func(*args, **kwargs)

    def _moved(self, tensor, *args, **kwargs):
        """`tensor.to`: parsed here, as torch knows the tensor for the processor's."""
        wanted = [*args, *(kwargs[name] for name in ("device", "dtype", "other") if name in kwargs)]
        here = device = CARD if self.card.has(tensor) else CPU
        dtype = tensor.dtype
        for each in wanted:
            if isinstance(each, torch.Tensor):
                device, dtype = CARD if self.card.has(each) else CPU, each.dtype
            elif isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, str | torch.device):
                device = torch.device(each)
        if "meta" in (device.type, tensor.device.type):
            return tensor.to(*args, **kwargs)
        if device.type == here.type:
            return tensor if dtype == tensor.dtype else tensor.to(dtype)
        made = _copied(tensor, dtype)
        return self.card.put(made) if device.type == "cuda" else made


class _Operators(TorchDispatchMode):
    def __init__(self, card):
        super().__init__()
        self.card = card
        self.names = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, device = self._name(func), kwargs.get("device")
        if device is not None and torch.device(device).type == "meta":
            return func(*args, **kwargs)
        given = _tensors([*args, *kwargs.values()])
        before = [leaf.untyped_storage()._cdata for leaf in given]
        there = self._all_on_card(name, given, [key in self.card.storages for key in before])
        if device is not None:
            if name != "_to_copy" and torch._C._current_autograd_node() is None:
                there = torch.device(device).type == "cuda"
            kwargs = kwargs | {"device": CPU}
        elif name == "copy_":
            there = before[0] in self.card.storages
        made = func(*args, **kwargs)
        if there:
            self._put(made, before)
        return made

    def _name(self, func):
        if func not in self.names:
            self.names[func] = func._schema.name.split("::")[1]
        return self.names[func]

    def _put(self, made, before):
        """What is new; a view of what lay on the processor lies there still."""
        for leaf in _tensors(made if isinstance(made, (list, tuple)) else [made]):
            storage = leaf.untyped_storage()
            if storage._cdata not in before:
                self.card.storages[storage._cdata] = storage

    def _all_on_card(self, name, given, where):
        """As torch has it: a number without dimensions may come from the processor, and what a
        tensor of the card is indexed by.
        """
        if name in INDEXED and where[0]:
            return True
        if True in where and False in where and name not in MOVES:
            told = [(tuple(each.shape), on) for each, on in zip(given, where, strict=True)]
            if any(shape and not on for shape, on in told):
                raise RuntimeError(f"{name}: tensors on two devices: {told}")
        return True in where


def _tensors(values):
    """Those of an operator's arguments, or of what it gives: tensors, and lists of them."""
    found = []
    for each in values:
        if isinstance(each, torch.Tensor):
            found.append(each)
        elif isinstance(each, (list, tuple)):
            found += [one for one in each if isinstance(one, torch.Tensor)]
    return found


def _copied(tensor, dtype):
    """A copy that lies nowhere yet."""
    with _disable_current_modes():
        return tensor.detach().to(dtype, copy=True)
