"""Where the parts of a pipeline lie, and what moves when.

    none         all parts on the device
    text         text encoders stream through the device layer by layer; the rest stays there
    model        as text, and what denoises is on the device only while it does
    group        as text, and what denoises streams through it block by block, each copied while the
                 one before it computes
    paged        as group, from memory that is not pinned: slower, and the system may drop what is
                 not in use
    sequential   every layer of every part, one at a time: least memory, slowest

The stock pipeline (`vae: stock`) moves as diffusers moves it.
"""

import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from src.core.plan import SessionKey
from src.pipelines.family import Family, parts_of
from src.pipelines.memory import release
from src.pipelines.roles import denoisers, vae_of


def place(family: Family, pipe: Any, key: SessionKey) -> None:
    """Put a freshly loaded pipeline where its key says."""
    device = torch.device(key.device)
    if device.type == "cuda" and on_wsl():
        refuse_to_spill()
    if key.offload == "none":
        pipe.to(device)
    elif key.vae == "stock":
        _place_stock(pipe, key)
    elif key.offload == "sequential":
        for part in family.parts:
            stream(getattr(pipe, part.name), device, "leaf_level")
            order_copies(getattr(pipe, part.name))
    else:
        _place_roles(family, pipe, key, device)


def _place_roles(family: Family, pipe: Any, key: SessionKey, device: torch.device) -> None:
    """Text encoders stream and the VAE stays; what denoises does as the key says."""
    for part in parts_of(family, "text"):
        stream(getattr(pipe, part.name), device, "block_level", part.groups)
    vae_of(family, pipe).to(device)
    for part in parts_of(family, "denoiser"):
        if key.offload == "text":
            getattr(pipe, part.name).to(device)
        elif key.offload in ("group", "paged"):
            stream(
                getattr(pipe, part.name),
                device,
                "block_level",
                part.groups,
                pinned=key.offload == "group",
            )


def on_wsl() -> bool:
    """Whether this is Linux under Windows, whose driver moves tensors to the machine's memory
    instead of refusing.
    """
    return "microsoft" in platform.uname().release.lower()


def refuse_to_spill() -> None:
    """Keep this process to what is free on the card: lack of memory is then an error that steps
    down, not a crawl.
    """
    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (free + held) / total))


def _place_stock(pipe: Any, key: SessionKey) -> None:
    if key.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=key.device)
    else:
        pipe.enable_model_cpu_offload(device=key.device)


def stream(
    part: nn.Module,
    device: torch.device,
    level: str,
    groups: Sequence[str] = (),
    pinned: bool = False,
) -> None:
    """Group offload with a copy stream on a GPU.

    groups: modules that hold the blocks and all else that has weights, such as T5's "encoder";
    without, the part itself. (With diffusers' own `block_modules` a group lies in another one,
    which it refuses where there is a stream.)

    pinned: beforehand, for parts that pass at every forward; pinned memory is lost to the rest of
    the machine.
    """
    from diffusers import hooks

    for name in groups or ("",):
        hooks.apply_group_offloading(
            part.get_submodule(name), onload_device=device, offload_device=torch.device("cpu"),
            offload_type=level, num_blocks_per_group=1, use_stream=device.type == "cuda",
            low_cpu_mem_usage=not pinned,
        )  # fmt: skip
        if level == "block_level":
            order_copies(part.get_submodule(name))


def await_copies() -> None:
    """Weights that a run which broke off had begun to copy are where they go, and may be read."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def stream_again(module: nn.Module) -> None:
    """Have weights that came to a streamed module since then move with its others, and those that
    went no more. Nothing on a module that does not stream.
    """
    from diffusers.hooks.group_offloading import _maybe_remove_and_reapply_group_offloading

    _maybe_remove_and_reapply_group_offloading(module)
    order_copies(module)


def order_copies(module: nn.Module) -> None:
    """Have each block of a module that was just made to stream copied during the one before it, in
    the order in which they stand; and each single layer when it is needed, as their order is
    another one.

    diffusers (0.42) would watch the first `forward` for the order. It takes its watchers away from
    beneath the hooks of a step cache, which end by that: the first clip would be another one. And
    where `forward` is never called, as of a VAE, they would watch for ever.
    """
    from diffusers.hooks import group_offloading as offloading

    hooks = getattr(module, "_diffusers_hook", None)
    watcher = hooks and hooks.get_hook(offloading._LAZY_PREFETCH_GROUP_OFFLOADING)
    if watcher is None:
        return
    kind = hooks.get_hook(offloading._GROUP_OFFLOADING).config.offload_type
    if kind == offloading.GroupOffloadingType.LEAF_LEVEL:
        hooks.remove_hook(offloading._LAYER_EXECUTION_TRACKER)
        hooks.remove_hook(offloading._LAZY_PREFETCH_GROUP_OFFLOADING)
        return
    watched = watcher._layer_execution_tracker_module_names
    watcher.execution_order += [each for each in module.named_modules() if each[0] in watched]
    watcher.post_forward(module, None)


@contextmanager
def without_hooks(pipe: Any) -> Iterator[None]:
    """All weights of the stock pipeline in their places while the body changes layers; accelerate's
    hooks, if it has them, come back on every way out.
    """
    from accelerate.hooks import CpuOffload

    hook = getattr(pipe.transformer, "_hf_hook", None)
    if hook is None:
        yield
        return
    pipe.remove_all_hooks()
    try:
        yield
    finally:
        whole = isinstance(hook, CpuOffload)
        (pipe.enable_model_cpu_offload if whole else pipe.enable_sequential_cpu_offload)()


@contextmanager
def for_denoising(family: Family, pipe: Any, key: SessionKey) -> Iterator[None]:
    """Have what denoises on the device, under offload "model" for this long only."""
    with ExitStack() as stack:
        if key.offload == "model" and key.vae != "stock":
            for part in denoisers(family, pipe):
                stack.enter_context(placed_on(part, torch.device(key.device)))
        yield


@contextmanager
def placed_on(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The module on `device`. Its weights stay where they were too,
    so that nothing is copied back.
    """
    tensors = [*module.parameters(), *module.buffers()]
    # quantised weights know how to move themselves
    if any(type(tensor.data) is not Tensor for tensor in tensors):
        home = next(module.parameters()).device
        module.to(device)
        try:
            yield
        finally:
            module.to(home)
            release()
        return
    kept = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(device)
        yield
    finally:
        for tensor, data in zip(tensors, kept, strict=True):
            tensor.data = data
        release()
