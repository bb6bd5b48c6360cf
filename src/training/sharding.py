"""Frozen weights that several processes hold a part of each (FSDP2, `fully_shard`).

A block's weights are gathered before it computes, forwards and backwards, and dropped behind it.
What is trained is not sharded: gradients, optimizer, checkpoints and adapters are as without.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import nn


def shard_frozen(module: nn.Module, blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Leave each process an equal part of the frozen parameters of `module`, in place; the process
    group must be there. blocks: parts of it that are gathered one at a time; what is in none of
    them is gathered for the whole forward.

    From here on every process must run the module as often as every other one, or they wait for
    each other for ever.
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    own = torch.distributed.new_group()  # what gathers weights must not meet what sums gradients
    mesh = DeviceMesh.from_group(own, device.type)
    trained = {parameter for parameter in module.parameters() if parameter.requires_grad}
    # a view of the output is changed nowhere in place
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    for each in (*blocks, module):  # dropped also behind the outermost: processes stay alike
        fully_shard(each, mesh=mesh, ignored_params=trained, reshard_after_forward=True)


def sharded_names(module: nn.Module) -> list[str]:
    """Parameters of which this process holds a part: no other wrapper may send them about."""
    from torch.distributed.tensor import DTensor

    return [name for name, tensor in module.named_parameters() if isinstance(tensor, DTensor)]


def held_bytes(module: nn.Module) -> int:
    """Bytes of the parameters that this process holds."""
    tensors = (getattr(tensor, "_local_tensor", tensor) for tensor in module.parameters())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
