"""What a profile switches on in a loaded pipeline. Each switch that would have no effect here is an error."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from src.core.errors import BadInputError, MissingWeightsError
from src.core.plan import Cache, SessionKey

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def attention_kernel(name: str, device: str) -> AbstractContextManager[None]:
    """Run scaled dot-product attention on one kernel; CogVideoX's own backend switch has no effect.

    Raises BadInputError for a kernel that the device does not have.
    """
    if name == "auto":
        return nullcontext()
    if device == "cpu" and name not in ("flash", "math"):
        raise BadInputError(f"--attention {name} is a CUDA kernel; on a CPU there are flash and math")
    return sdpa_kernel([BACKENDS[name]])


def tune(pipe: Any, key: SessionKey) -> None:
    """Quantise and compile as the key says. Called once, after loading, before placing."""
    if key.quantize != "none":
        quantize(pipe.transformer, key.quantize)
    if key.compile:
        compile_parts(pipe)


def quantize(transformer: nn.Module, name: str) -> int:
    """Weight-only quantisation of the blocks' linear layers by torchao; returns how many layers changed."""
    try:
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise MissingWeightsError(
            f"--quantize {name} needs torchao: pip install -r requirements-quantize.txt"
        ) from None
    config = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}[name]()
    blocks = transformer.transformer_blocks
    before = {id(module): type(module.weight) for module in _linears(blocks)}
    quantize_(blocks, config)
    changed = sum(type(module.weight) is not before.get(id(module)) for module in _linears(blocks))
    if not changed:
        raise BadInputError(f"--quantize {name} found no linear layer to change in this model")
    return changed


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def compile_parts(pipe: Any) -> None:
    """Compile each transformer block (one graph serves all) and the VAE's decoder."""
    transformer = pipe.transformer
    transformer._repeated_blocks = ["CogVideoXBlock"]  # the class leaves the list empty and would raise
    transformer.compile_repeated_blocks(fullgraph=True, dynamic=False)
    pipe.vae.decoder = torch.compile(pipe.vae.decoder, dynamic=False)


def use_cache(transformer: Any, cache: Cache) -> None:
    """Switch the step cache to `cache`, fresh: state of an earlier run is gone.

    Raises BadInputError when the cache hooks nothing on this model, which would be a silent no-op.
    """
    if transformer.is_cache_enabled:
        transformer.disable_cache()
    if cache.name == "none":
        return
    before = _hooked(transformer)
    transformer.enable_cache(cache_config(cache, transformer))
    if _hooked(transformer) == before:
        raise BadInputError(f"--cache {cache.name} has no effect on this model")


def _hooked(transformer: nn.Module) -> int:
    """How many hooks modules carry."""
    registries = [getattr(module, "_diffusers_hook", None) for module in transformer.modules()]
    return sum(len(registry.hooks) for registry in registries if registry is not None)


def cache_config(cache: Cache, transformer: Any) -> Any:
    """The configuration of diffusers for this cache, spelled out where its defaults do nothing on CogVideoX."""
    from diffusers import hooks

    if cache.name == "first_block":
        return hooks.FirstBlockCacheConfig(threshold=cache.threshold)
    if cache.name == "taylorseer":
        return hooks.TaylorSeerCacheConfig(
            cache_interval=int(cache.threshold),
            disable_cache_before_step=2,
            cache_identifiers=[r"transformer_blocks\.\d+\.(attn1|ff)"],
        )
    return hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=int(cache.threshold),
        spatial_attention_timestep_skip_range=(100, 800),
        current_timestep_callback=lambda: transformer.newsreel_timestep,
    )
