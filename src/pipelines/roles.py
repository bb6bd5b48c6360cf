"""The loaded parts of a pipeline, by what they do."""

from typing import Any

from torch import nn

from src.pipelines.family import Family, Part, Role, parts_of


def present(family: Family, pipe: Any, role: Role) -> list[tuple[Part, nn.Module]]:
    """The parts of one role that the pipeline has, with what is known of them, in their order."""
    parts = ((part, getattr(pipe, part.name)) for part in parts_of(family, role))
    return [(part, module) for part, module in parts if module is not None]


def loaded(family: Family, pipe: Any, role: Role) -> list[nn.Module]:
    """The parts of one role that the pipeline has, in the family's order."""
    return [module for _, module in present(family, pipe, role)]


def denoisers(family: Family, pipe: Any) -> list[nn.Module]:
    """The parts that denoise."""
    return loaded(family, pipe, "denoiser")


def vae_of(family: Family, pipe: Any) -> nn.Module:
    """The one VAE."""
    return loaded(family, pipe, "vae")[0]
