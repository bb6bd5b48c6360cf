"""The held-out loss of a base without and with an adapter, at the same clips,
timesteps and noise.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from src.catalog.spec import ModelSpec
from src.core.devices import find_device
from src.core.errors import NotFiniteError
from src.datasets.manifest import read_dataset
from src.pipelines.adapter_files import AdapterFile
from src.pipelines.adapters import AdapterRack
from src.pipelines.loading import DTYPES, read_pipeline
from src.recipes.lora.encoding import Share
from src.recipes.lora.encoding_cache import EncodingCache
from src.recipes.lora.layers import trained_part, training_of
from src.recipes.lora.preflight import preflight
from src.recipes.lora.recipe import LoraRecipe
from src.recipes.lora.run import encode_all, run_dtype
from src.recipes.lora.settings import LoraSettings, Samples


def held_out_losses(
    metadata: Path, spec: ModelSpec, folder: Path, adapter: AdapterFile, output: Path
) -> tuple[float, float] | None:
    """Mean losses of base and adapter over the manifest's held-out clips;
    None where it has none.
    """
    settings = LoraSettings(
        rank=1, frames=spec.frames.counts, gradient_checkpointing=False, samples=Samples(count=0)
    )
    dtype = run_dtype(settings)
    found = preflight(settings, spec, folder, read_dataset(metadata), dtype, output, predict=False)
    found.check()
    if not found.held_out:
        return None
    device = torch.device(find_device())
    found.items = found.held_out
    encode_all(found, device, Share())
    part = trained_part(spec)
    pipe = read_pipeline(folder, DTYPES[dtype], (part,))
    transformer = getattr(pipe, part).to(device)
    rack = AdapterRack(pipe)
    objective = training_of(spec).objective(folder)
    recipe = LoraRecipe(
        transformer, found.held_out, settings, objective, found.encoders, EncodingCache()
    )
    losses = []
    for adapters in ([], [adapter]):
        rack.put(adapters)
        each = recipe.held_out_losses(found.held_out, device)
        losses.append(sum(each) / len(each))
        if not math.isfinite(losses[-1]):
            which = "with the adapter" if adapters else "of the base"
            raise NotFiniteError(
                f"the held-out loss {which} is not finite; likely the adapter, or {dtype} overflows"
            )
    return losses[0], losses[1]
