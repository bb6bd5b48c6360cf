"""Profiles: named ways to run a model, in order of preference; data in `configs/profiles.yaml`."""

from typing import Literal

from pydantic import Field, model_validator

from src.core.config import Config, load_config
from src.core.errors import BadInputError
from src.core.paths import CONFIGS


class Profile(Config):
    """One way to run.

    former: names of profiles that are gone and whose place it takes. devices: where it applies.
    vae: "stock" or "fast" (exact rewrite, attention on a CPU too). compile: blocks and decoder
    through torch.compile. attention: kernel of scaled dot-product attention, "auto" leaves the
    choice to PyTorch.
    cache, cache_threshold: step cache and how far the first block's residual may move before it is
    refreshed. guidance_from, guidance_until: part of the steps, 0 to 1, in which guidance is
    applied; outside, one forward. quantize: "none", "int8" or "fp8" weights of the transformer,
    or "fp8_dynamic", products of 8 bits.
    capability: least CUDA capability it needs.
    offload: what moves between the machine's memory and the GPU's (`pipelines/placement.py`).
    tiling: decode the VAE in tiles; "auto" does where the whole picture does not fit.
    """

    name: str
    description: str
    former: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cuda",)
    vae: str = "fast"
    compile: bool = False
    attention: str = "auto"
    cache: str = "none"
    cache_threshold: float = 0.0
    guidance_from: float = Field(default=0.0, ge=0, le=1)
    guidance_until: float = Field(default=1.0, ge=0, le=1)
    quantize: str = "none"
    capability: float = 0.0
    offload: Literal["none", "text", "model", "group", "paged", "sequential"] = "none"
    tiling: bool | Literal["auto"] = False


class ProfileFile(Config):
    """The whole file, in order of speed."""

    profiles: tuple[Profile, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> "ProfileFile":
        names = [profile.name for profile in self.profiles]
        if len(set(names)) != len(names):
            raise ValueError("two profiles have the same name")
        return self


def load_profiles() -> tuple[Profile, ...]:
    """Every profile, in order of preference."""
    return load_config(CONFIGS / "profiles.yaml", ProfileFile).profiles


def find_profile(name: str) -> Profile:
    """The profile called `name`; raises BadInputError with what takes its place, or the list of
    known ones.
    """
    profiles = {profile.name: profile for profile in load_profiles()}
    if name in profiles:
        return profiles[name]
    for profile in profiles.values():
        if name in profile.former:
            raise BadInputError(
                f"profile {name!r} is gone; {profile.name} takes its place, or auto"
            )
    raise BadInputError(f"unknown profile {name!r}; known: auto, {', '.join(profiles)}")
