"""What a run will take, by arithmetic: memory, disk, and hours from a short measurement of this
machine's speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from src.catalog.spec import ModelSpec
from src.core.devices import find_device
from src.pipelines.learning import Training
from src.recipes.lora.encoding_cache import Encoders, EncodingCache
from src.recipes.lora.matrix_rate import matrix_rate
from src.recipes.lora.recipe import Item
from src.recipes.lora.settings import LoraSettings

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
EFFICIENCY = 0.5
"""Of the matrix rate, what a training step reaches: attention, norms and moving data are slower."""
BLOCK = 40
"""Tensors of (tokens, width) that one block keeps for its backward pass, attention's own not
counted.
"""
CONTEXT = 10**9
"""What CUDA, its kernels and the allocator's slack take."""
CHECKPOINTS = 3
"""The two that are kept and the one being written."""


@dataclass(frozen=True)
class Estimates:
    """device_bytes: at the peak of training. disk_bytes: of cache, checkpoints and adapters still
    to be written.

    seconds_per_step, hours: of training on this machine; None where nothing was measured.
    """

    device_bytes: int
    disk_bytes: int
    seconds_per_step: float | None
    hours: float | None


def estimate(
    transformer: Any, settings: LoraSettings, spec: ModelSpec, items: Sequence[Item],
    encoders: Encoders, steps: int, measure: bool, processes: int = 1,
) -> Estimates:  # fmt: skip
    """transformer: its shapes are enough."""
    from src.recipes.lora.layers import block_list, target_layers, training_of

    training = training_of(spec)
    layers = target_layers(transformer, settings.layers).values()
    adapter = settings.rank * sum(layer.in_features + layer.out_features for layer in layers)
    base = sum(parameter.numel() for parameter in transformer.parameters())
    largest = max(
        (item.source.sampling for item in items),
        key=lambda size: size.num_frames * size.width * size.height,
    )
    shares = (settings.token_frames, 1 - settings.whole), (None, settings.whole)
    counts = [
        (training.token_count(transformer, largest, spec, frames), share)
        for frames, share in shares
        if share
    ]
    width, depth = training.width_and_depth(transformer)
    seconds = None
    if measure:
        device = torch.device(find_device())
        rate = matrix_rate(device, getattr(torch, encoders.dtype)) * EFFICIENCY
        # frozen weights need no gradients of their own
        passes = (3 if settings.gradient_checkpointing else 2) + settings.teacher_forwards
        operations = sum(
            share * forward_flops(base, tokens, width, depth) for tokens, share in counts
        )
        seconds = settings.batch_size * passes * operations / rate
    piece = settings.batch_size // settings.accumulation
    memory = (
        base_held(block_list(spec, transformer), base, settings, processes) * BYTES[encoders.dtype]
        + adapter * (10 if settings.optimizer == "adamw8bit" else 16)
        + adapter * 4 * settings.teacher_adapters
        + CONTEXT
    )
    memory += piece * activation_bytes(
        max(counts)[0], width, depth, BYTES[encoders.dtype], settings.gradient_checkpointing
    )
    disk = 4 * adapter * (settings.epochs + 1) + 16 * adapter * CHECKPOINTS
    disk += cache_bytes(training, transformer, settings, items, encoders, spec)
    return Estimates(memory, disk, seconds, None if seconds is None else seconds * steps / 3600)


def base_held(blocks: Any, base: int, settings: LoraSettings, processes: int) -> int:
    """Numbers of the frozen base that a process holds while a block computes: all of them, or its
    part, beside the largest block whole.
    """
    if not settings.shard_base or processes == 1:
        return base
    sizes = [sum(parameter.numel() for parameter in block.parameters()) for block in blocks]
    outside = base - sum(sizes)  # gathered for the whole forward
    return base // processes + outside + max(sizes, default=0)


def forward_flops(parameters: int, tokens: int, width: int, depth: int) -> float:
    """Two a parameter and token, and the two products of attention: 4 tokens^2 width a layer."""
    return 2.0 * parameters * tokens + 4.0 * depth * tokens**2 * width


def activation_bytes(tokens: int, width: int, depth: int, size: int, checkpointing: bool) -> int:
    """With checkpointing one tensor a block and one whole block; without, every block."""
    kept = depth + BLOCK if checkpointing else depth * BLOCK
    return kept * tokens * width * size


def cache_bytes(
    training: Training, transformer: Any, settings: LoraSettings, items: Sequence[Item],
    encoders: Encoders, spec: ModelSpec,
) -> int:  # fmt: skip
    """What the cache lacks: posterior and noised first frames a clip, an embedding a caption."""
    cache, images = EncodingCache(), settings.image_noises
    clips = {
        item.source.key: item.source.sampling for item in items if not cache.has(item.source.key)
    }
    latents = sum(
        training.latent_numbers(transformer, size, spec, images) for size in clips.values()
    )
    texts = {item.prompt for item in items if not cache.has(encoders.text_address(item.prompt))}
    return BYTES[encoders.dtype] * (
        latents + len(texts) * encoders.text_length * training.text_width(transformer)
    )
