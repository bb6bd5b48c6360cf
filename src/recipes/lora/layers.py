"""Where the adapter sits: the layers that the targets name, and what share of the base they make
trainable.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.families import family_of
from src.pipelines.family import parts_of
from src.pipelines.learning import Training
from src.recipes.lora.settings import LARGEST_SHARE, LoraSettings

ADAPTER = "default"


def training_of(spec: ModelSpec) -> Training:
    """How the model's family is trained. Raises BadInputError for one that takes no adapter."""
    training = family_of(spec).training
    if training is None:
        raise BadInputError(
            f"{spec.id} is of the family {spec.family}, for which no adapter can be trained"
        )
    return training


def trained_part(spec: ModelSpec) -> str:
    """The name of the part that the adapter sits on."""
    return parts_of(family_of(spec), "denoiser")[0].name


def block_list(spec: ModelSpec, transformer: nn.Module) -> nn.ModuleList:
    """The transformer's repeated blocks."""
    return parts_of(family_of(spec), "denoiser")[0].blocks_of(transformer)


def add_adapter(transformer: nn.Module, settings: LoraSettings) -> float:
    """Freeze the transformer and give it a trainable adapter in float32; returns the trainable
    share of the base.

    Raises BadInputError where the rank is too large, a target is no layer of it, or the share is
    not an adapter's.
    """
    from peft import LoraConfig

    share = trainable_share(transformer, settings)
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(
            r=settings.rank, lora_alpha=settings.scale_alpha, lora_dropout=settings.dropout,
            target_modules=list(settings.layers), init_lora_weights=True,
        ),
        adapter_name=ADAPTER,
    )  # fmt: skip
    for parameter in transformer.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return share


def target_layers(transformer: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers that the targets name: by the end of their name, at a dot."""
    layers = {
        name: module
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
    }
    return {
        name: layer
        for name, layer in layers.items()
        if any(f".{name}".endswith(f".{t}") for t in targets)
    }


def trainable_share(transformer: nn.Module, settings: LoraSettings) -> float:
    """The adapter's parameters over the base's; needs shapes only, so that a transformer on "meta"
    will do.
    """
    layers = target_layers(transformer, settings.layers)
    for target in settings.layers:
        if not target_layers(transformer, [target]):
            raise BadInputError(
                f"targets: no layer of this model is called {target!r}; attention has to_q, to_k, "
                "..."
            )
    smallest = min(min(layer.in_features, layer.out_features) for layer in layers.values())
    if settings.rank > smallest:
        raise BadInputError(
            f"rank {settings.rank} is larger than the layers' dimension {smallest}; take "
            f"{smallest} or less"
        )
    base = sum(parameter.numel() for parameter in transformer.parameters())
    share = (
        settings.rank
        * sum(layer.in_features + layer.out_features for layer in layers.values())
        / base
    )
    if share >= LARGEST_SHARE:
        most = int(settings.rank * LARGEST_SHARE / share * 0.999)
        raise BadInputError(
            f"rank {settings.rank} on {', '.join(settings.layers)} would train {share:.1%} of the "
            "base; "
            f"less than {LARGEST_SHARE:.0%} is an adapter: take rank {most} or less"
        )
    return share
