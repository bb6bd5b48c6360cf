"""A tiny CogVideoX 1.5: two latent frames a patch, an embedded offset, rotary positions alone."""

from dataclasses import replace
from pathlib import Path

import torch

from src.pipelines.blueprint import TINY
from src.pipelines.building import assemble_pipeline


def build_newer(folder: Path, frames: int = 17) -> Path:
    """Write the untrained, seeded model as a diffusers folder; returns it."""
    from diffusers import CogVideoXTransformer3DModel

    pipe = assemble_pipeline(replace(TINY, width=48, height=32), ["pan left", "press"], seed=0)
    sizes = {
        name: value for name, value in pipe.transformer.config.items() if not name.startswith("_")
    }
    torch.manual_seed(0)
    pipe.transformer = CogVideoXTransformer3DModel(
        **sizes
        | {"patch_size_t": 2, "ofs_embed_dim": 16, "patch_bias": False, "sample_frames": frames}
    ).eval()
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder
