"""Device memory, counted: the true modules run on the meta device while every live tensor is added
up.

What is not in the counts: cuDNN's workspaces, fragmentation, the CUDA context; the planner keeps a
reserve for them. Attention counts its output alone, as fused kernels need no more.
"""

import json
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from src.catalog.spec import Memory, ModelSpec
from src.pipelines.families import family_of
from src.pipelines.family import Family, Part, parts_of
from src.pipelines.sides import Architecture

DTYPE = torch.bfloat16
STAGES = ("encode_text", "encode_image", "denoise", "decode", "decode_tiled")


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


def architecture_of(family: Family, spec: ModelSpec, folder: Path | None) -> Architecture:
    """The configurations of a known large model, or those in a folder."""
    if spec.id in family.architectures and folder is None:
        return family.architectures[spec.id]
    if folder is None:
        raise ValueError(f"{spec.id} is counted from its folder")
    names = [part.name for part in family.parts]
    return {
        name: json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
        for name in names
    }


def build_parts(family: Family, architecture: Architecture, device: str) -> dict[str, nn.Module]:
    """The parts of these configurations on a device, untrained, in 16 bit."""
    with default_dtype(DTYPE), torch.device(device):
        parts = family.counting.build_parts(architecture)
    return {name: nn.Module.to(part, DTYPE).eval() for name, part in parts.items()}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def bytes_of(module: nn.Module) -> int:
    """Weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def count(spec: ModelSpec, folder: Path | None = None) -> Memory:
    """The memory figures of a model: weights in 16 bit, what is on the device while parts stream,
    activations by stage.

    folder: of a model whose configurations its family does not know. Takes some ten seconds for a
    large model.
    """
    family = family_of(spec)
    parts = build_parts(family, architecture_of(family, spec, folder), "meta")
    stages = family.counting.stages(spec, parts)
    stock = peak_of(stages.decode, parts.values())
    for part in parts_of(family, "vae"):
        family.loop.speed_up_vae(parts[part.name])
    return Memory(
        weights={name: bytes_of(part) for name, part in parts.items()},
        streams={
            part.name: streamed(parts[part.name], blocks) for part, blocks in _blocks(family, parts)
        },
        hidden=stages.hidden_bytes,
        decode_stock=stock,
        **_of_blocks(
            [blocks for part, blocks in _blocks(family, parts) if part.role == "denoiser"]
        ),
        **{name: peak_of(getattr(stages, name), parts.values()) for name in STAGES},
    )


def _blocks(family: Family, parts: dict[str, nn.Module]) -> list[tuple[Part, nn.ModuleList]]:
    """The parts that are made of blocks, and these."""
    return [(part, part.blocks_of(parts[part.name])) for part in family.parts if part.blocks]


def _of_blocks(denoisers: list[nn.ModuleList]) -> dict[str, int]:
    """What int8 halves, and how many blocks one forward passes."""
    linears = [
        layer for blocks in denoisers for layer in blocks.modules() if isinstance(layer, nn.Linear)
    ]
    return {
        "quantizable": sum(layer.weight.nbytes for layer in linears),
        "layers": max(map(len, denoisers)),
    }


def streamed(part: nn.Module, blocks: nn.ModuleList) -> int:
    """Bytes of a streamed part on the device: what belongs to no block, and two blocks: one
    computes, one comes.
    """
    sizes = sorted((bytes_of(block) for block in blocks), reverse=True)
    return bytes_of(part) - sum(sizes) + sum(sizes[:2])
