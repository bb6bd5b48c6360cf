"""A stock pipeline of diffusers from a folder, as families of its classes load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.pipelines.family import Part


def load_stock(
    pipeline: str, all_parts: tuple[Part, ...], folder: Path, dtype: torch.dtype,
    parts: Sequence[str], read: Mapping[str, Any],
) -> Any:  # fmt: skip
    """As `Stock.load`. pipeline: the class of diffusers. all_parts: the family's, of which those
    that run in float32 throughout are loaded so."""
    import diffusers

    full = {part.name: torch.float32 for part in all_parts if part.full}
    return getattr(diffusers, pipeline).from_pretrained(
        folder,
        dtype={"default": dtype} | full,
        use_safetensors=True,
        local_files_only=True,
        **{part.name: None for part in all_parts if part.name not in parts},
        **read,
    )
