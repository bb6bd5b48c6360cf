"""STAR's weight files: judged by their headers, loaded strictly, and known by their folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from src.catalog.upscalers import PresetSpec, UpscalerSpec, find_upscaler
from src.core.config import validate
from src.core.errors import BadInputError
from src.core.finite import first_not_finite
from src.core.paths import is_folder
from src.upscaling.network_files import read_header
from src.upscaling.star.spec import StarSpec

STAR = "star"
FORMAT = "newsreel-star-1"
LIGHT = "light_deg.safetensors"
Shapes = Mapping[str, tuple[int, ...]]


@lru_cache(maxsize=8)
def expected(spec: StarSpec) -> Shapes:
    """Names and shapes of the tensors of a network; nothing is allocated."""
    return {name: tuple(tensor.shape) for name, tensor in _on_meta(spec).state_dict().items()}


def check_shapes(found: Shapes, spec: StarSpec, source: Path) -> None:
    """Raise BadInputError, with the first tensor that is wrong,
    unless these are a whole network's.
    """
    wanted = expected(spec)
    missing, further = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    other = sorted(n for n in wanted.keys() & found.keys() if wanted[n] != tuple(found[n]))
    about = f"{source} is not STAR's network for I2VGen-XL"
    if missing:
        raise BadInputError(
            f"{about}: it lacks {len(missing)} of {len(wanted)} tensors, {missing[0]} first"
        )
    if further:
        raise BadInputError(f"{about}: it has {len(further)} tensors too many, {further[0]} first")
    if other:
        shapes = f"{tuple(found[other[0]])}, not {wanted[other[0]]}"
        raise BadInputError(f"{about}: {other[0]} is of shape {shapes}")


def spec_of(path: Path) -> StarSpec:
    """The widths that a file says it has; the published ones where it says none."""
    about = read_header(path)
    if about is None:
        raise BadInputError(f"{path} is no safetensors file; fetch it again")
    try:
        spec = validate(json.loads(about.get("spec", "{}")), StarSpec, str(path))
        expected(spec)
    except ValueError as error:
        reason = f"{path} tells widths that no network of STAR has: {error}"
        raise BadInputError(reason) from None
    return spec


def load_star(path: Path, dtype: Any) -> Any:
    """The network of a file on the CPU, in a dtype, ready to run.

    Raises BadInputError where the file is damaged, or lacks or has too much of it.
    """
    from safetensors import safe_open

    spec = spec_of(path)
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        check_shapes(found, spec, path)
        tensors = {name: file.get_tensor(name) for name in names}
    if damaged := first_not_finite(tensors.items()):
        raise BadInputError(f"{path}: {damaged} holds numbers that are not finite; fetch it again")
    network = _on_meta(spec)
    network.load_state_dict(
        {name: tensor.to(dtype) for name, tensor in tensors.items()}, strict=True, assign=True
    )
    return network.eval().requires_grad_(False)


def _on_meta(spec: StarSpec) -> Any:
    import torch

    from src.upscaling.star.network import StarNetwork

    with torch.device("meta"):
        return StarNetwork(spec)


def detect_star(path: Path) -> UpscalerSpec | None:
    """The spec of a folder that `src.fetch_upscaler` wrote, or of the network in it."""
    folder = path if is_folder(path) else path.parent
    file = folder / LIGHT if is_folder(path) else path
    about = read_header(file) if file.suffix == ".safetensors" else None
    if not about or about.get("format") != FORMAT:
        return None
    known = find_upscaler(STAR)
    changes = {"id": folder.name, "folder": str(folder.resolve()), "files": {}}
    if file is path:  # the one that was named is meant, whatever the source is like
        presets = {name: _with(preset, path.name) for name, preset in known.presets.items()}
        changes |= {"presets": presets, "noisy": {}}
    return known.model_copy(update=changes)


def _with(preset: PresetSpec, network: str) -> PresetSpec:
    """The preset with another file of the network."""
    passes = {
        scale: tuple(network if name == LIGHT else name for name in names)
        for scale, names in preset.passes.items()
    }
    return preset.model_copy(update={"passes": passes})
