"""What a profile switches on in a loaded pipeline. Each switch that would have no effect here is an
error.
"""

from typing import Any

from torch import nn

from src.core.errors import SwitchError
from src.core.plan import Cache, SessionKey
from src.pipelines.attention_kernels import OPTIONAL
from src.pipelines.cache_fit import FITTED
from src.pipelines.compiling import compile_blocks, fit_to_cache
from src.pipelines.family import Family, Part
from src.pipelines.roles import present
from src.pipelines.step_skipping import skip_steps, stop_skipping


def tune(family: Family, pipe: Any, key: SessionKey) -> None:
    """Quantise and compile what denoises as the key says, and give it an optional attention kernel.
    Called once, after loading, before placing.
    """
    if key.attention in OPTIONAL:
        family.loop.use_kernel(pipe, key.attention)
    for part, module in present(family, pipe, "denoiser"):
        blocks = part.blocks_of(module)
        if key.quantize != "none":
            quantize(blocks, key.quantize, key.device)
        if key.compile:
            compile_blocks(module, blocks)


def use_caches(family: Family, pipe: Any, cache: Cache) -> None:
    """As `use_cache`, on all that denoises; nothing where the stock pipeline alone runs."""
    if "optimized" not in family.modes:
        return
    for part, module in present(family, pipe, "denoiser"):
        use_cache(module, cache, part)


def quantize(blocks: nn.ModuleList, name: str, device: str = "cpu") -> int:
    """Quantisation of the blocks' linear layers by torchao; returns how many layers changed. Layer
    by layer on `device`, where it is quickest; the blocks stay where they are.

    int8, fp8: the weights alone. fp8_dynamic: weights and what they are multiplied with, a scale
    for each row, so that the product itself is of 8 bits; for cards from capability 8.9 on.

    Raises SwitchError where torchao is not here, does not go with this torch, or finds nothing to
    change.
    """
    before = {id(module): type(module.weight) for module in _linears(blocks)}
    try:
        from torchao.quantization import quantize_

        how = _quantisation(name)
        for block in blocks:
            home = next(block.parameters()).device
            quantize_(block, how, device=device)
            block.to(home)
    except (ImportError, AttributeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise SwitchError(
            "quantize",
            f"--quantize {name} needs torchao: pip install -r requirements-quantize.txt ({reason})",
        ) from error
    changed = sum(type(module.weight) is not before.get(id(module)) for module in _linears(blocks))
    if not changed:
        raise SwitchError(
            "quantize", f"--quantize {name} found no linear layer to change in this model"
        )
    return changed


def _quantisation(name: str) -> Any:
    """torchao's configuration of that name."""
    from torchao import quantization

    if name == "fp8_dynamic":
        return quantization.Float8DynamicActivationFloat8WeightConfig(
            granularity=quantization.PerRow()
        )
    return {
        "int8": quantization.Int8WeightOnlyConfig,
        "fp8": quantization.Float8WeightOnlyConfig,
    }[name]()


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def use_cache(transformer: Any, cache: Cache, part: Part) -> None:
    """Switch the step cache to `cache`, fresh: state of an earlier run is gone. part: what the
    transformer is.

    Raises SwitchError when the cache hooks nothing on this model, which would be a silent no-op.
    """
    if transformer.is_cache_enabled:
        transformer.disable_cache()
    stop_skipping(transformer, part)
    fit_to_cache(transformer, cache.name, part)
    if cache.name in FITTED:
        skip_steps(transformer, part, cache.skipped)
    elif cache.name != "none":
        _enable(transformer, cache, part)


def _enable(transformer: Any, cache: Cache, part: Part) -> None:
    """One of diffusers' caches."""
    before = _hooked(transformer)
    transformer.enable_cache(cache_config(cache, transformer, part))
    if _hooked(transformer) == before:
        raise SwitchError("cache", f"--cache {cache.name} has no effect on this model")


def drop_state(transformer: Any) -> None:
    """Forget what a step cache holds: where guidance begins or ends, for the batch has another
    size, and at the end.
    """
    registry = getattr(transformer, "_diffusers_hook", None)
    if registry is not None:
        registry.reset_stateful_hooks()


def _hooked(transformer: nn.Module) -> int:
    """How many hooks modules carry."""
    registries = [getattr(module, "_diffusers_hook", None) for module in transformer.modules()]
    return sum(len(registry.hooks) for registry in registries if registry is not None)


def cache_config(cache: Cache, transformer: Any, part: Part) -> Any:
    """The configuration of diffusers for this cache, spelled out where its defaults fit other names
    of blocks.
    """
    from diffusers import hooks

    if cache.name == "first_block":
        return hooks.FirstBlockCacheConfig(threshold=cache.threshold)
    if cache.name == "taylorseer":
        return hooks.TaylorSeerCacheConfig(
            cache_interval=int(cache.threshold),
            disable_cache_before_step=2,
            cache_identifiers=[rf"{part.blocks}\.\d+\.({part.attention}|{part.feed_forward})"],
        )
    return hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=int(cache.threshold),
        spatial_attention_timestep_skip_range=(100, 800),
        current_timestep_callback=lambda: transformer.newsreel_timestep,
    )
