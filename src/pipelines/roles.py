"""The loaded parts of a pipeline, by what they do."""

from typing import Any

from torch import nn

from src.pipelines.family import Family, Role, parts_of


def loaded(family: Family, pipe: Any, role: Role) -> list[nn.Module]:
    """The parts of one role that the pipeline has, in the family's order."""
    parts = (getattr(pipe, part.name) for part in parts_of(family, role))
    return [part for part in parts if part is not None]


def denoisers(family: Family, pipe: Any) -> list[nn.Module]:
    """The parts that denoise."""
    return loaded(family, pipe, "denoiser")


def vae_of(family: Family, pipe: Any) -> nn.Module:
    """The one VAE."""
    return loaded(family, pipe, "vae")[0]
