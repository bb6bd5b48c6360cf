"""Where the parts of a pipeline lie, and what moves when.

    none         all parts on the device
    text         the text encoder streams through the device layer by layer; the rest stays there
    model        as text, and the transformer is on the device only while it denoises
    group        as text, and the transformer streams through it block by block, the next one copied meanwhile
    paged        as group, from memory that is not pinned: slower, and the system may drop what is not in use
    sequential   every layer of every part, one at a time: least memory, slowest

The stock pipeline (`vae: stock`) moves as diffusers moves it.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from src.core.plan import SessionKey
from src.pipelines.memory import release

if TYPE_CHECKING:
    from diffusers import CogVideoXImageToVideoPipeline

T5_BLOCKS = ["encoder"]
"""Without this name the whole text encoder is one group."""


def place(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> None:
    """Put a freshly loaded pipeline where its key says."""
    device = torch.device(key.device)
    if device.type == "cuda" and on_wsl():
        refuse_to_spill()
    if key.offload == "none":
        pipe.to(device)
    elif key.vae == "stock":
        _place_stock(pipe, key)
    elif key.offload == "sequential":
        for part in (pipe.text_encoder, pipe.transformer, pipe.vae):
            stream(part, device, "leaf_level")
    else:
        stream(pipe.text_encoder, device, "block_level", T5_BLOCKS)
        pipe.vae.to(device)
        if key.offload == "text":
            pipe.transformer.to(device)
        elif key.offload in ("group", "paged"):
            stream(pipe.transformer, device, "block_level", pinned=key.offload == "group")


def on_wsl() -> bool:
    """Whether this is Linux under Windows, whose driver moves tensors to the machine's memory instead of refusing."""
    return "microsoft" in platform.uname().release.lower()


def refuse_to_spill() -> None:
    """Keep this process to what is free on the card: lack of memory is then an error that steps down, not a crawl."""
    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (free + held) / total))


def _place_stock(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> None:
    if key.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=key.device)
    else:
        pipe.enable_model_cpu_offload(device=key.device)


def stream(
    part: nn.Module, device: torch.device, level: str, blocks: list[str] | None = None, pinned: bool = False
) -> None:
    """Group offload with a copy stream on a GPU.

    pinned: beforehand, for parts that pass at every forward; pinned memory is lost to the rest of the machine.
    """
    from diffusers.hooks import apply_group_offloading

    on_gpu = device.type == "cuda"
    apply_group_offloading(
        part, onload_device=device, offload_device=torch.device("cpu"), offload_type=level, num_blocks_per_group=1,
        use_stream=on_gpu, low_cpu_mem_usage=on_gpu and not pinned,
        block_modules=blocks,
    )  # fmt: skip


@contextmanager
def for_denoising(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> Iterator[None]:
    """Have the transformer on the device, under offload "model" for this long only."""
    if key.offload != "model" or key.vae == "stock":
        yield
        return
    with moved(pipe.transformer, torch.device(key.device)):
        yield


@contextmanager
def moved(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The module on `device`. Its weights stay where they were too, so that nothing is copied back."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(type(tensor.data) is not Tensor for tensor in tensors):  # quantised weights know how to move themselves
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
