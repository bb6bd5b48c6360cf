"""Streaming as on a card, where there is none: diffusers' and accelerate's own book-keeping on
torch.cpu's streams, which wait for nothing, and ordinary memory for pinned one.

What is left out is the copy itself. What is streamed, and which tensor is brought back, is as
there.
"""

import diffusers
import pytest
import torch
from diffusers.hooks import group_offloading


@pytest.fixture
def streams(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    monkeypatch.setattr(torch.cpu.Stream, "synchronize", lambda _: None, raising=False)
    monkeypatch.setattr(group_offloading, "TorchDeviceBackend", lambda _: torch.cpu)
    monkeypatch.setattr(diffusers.hooks, "apply_group_offloading", _with_a_stream)


def _with_a_stream(module, *, offload_type, use_stream, **fields):
    """`apply_group_offloading(use_stream=True)`, which is refused for a processor."""
    group_offloading._apply_group_offloading(module, group_offloading.GroupOffloadingConfig(
        offload_type=group_offloading.GroupOffloadingType(offload_type), stream=torch.cpu.Stream(),
        non_blocking=False, record_stream=False, **fields,
    ))  # fmt: skip


def unmoved(module):
    """Names of weights that no group brings to the card."""
    moved = {id(weight) for group in groups(module)
             for weight in (*group.parameters, *(each for one in group.modules
                                                 for each in one.parameters()))}  # fmt: skip
    return [name for name, each in module.named_parameters() if id(each) not in moved]


def groups(module):
    """What comes to the card at once, and is gone before the next."""
    return [hook.group for hook in hooks_of(module, group_offloading._GROUP_OFFLOADING)]


def hooks_of(module, kind):
    """Those of a kind, on the module and what is in it."""
    hooked = (one._diffusers_hook for one in module.modules() if hasattr(one, "_diffusers_hook"))
    return [hook for each in hooked if (hook := each.get_hook(kind)) is not None]
