"""Weights of the video networks that the catalog does not know: what a file or a folder of them
holds. No torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.catalog.upscalers import PresetSpec, UpscalerSpec, find_upscaler
from src.core.paths import is_folder
from src.core.upscale_request import UPSCALER

FORMAT = "newsreel-upscaler-1"
SUFFIX = ".safetensors"
CASCADE = (4, 2)
"""The passes of 8x, where there are networks for both."""


def read_header(path: Path) -> dict[str, Any] | None:
    """What a file says of itself; None where it is no safetensors file that can be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return None


def detect_network(path: Path) -> UpscalerSpec | None:
    """The spec of what `src.train_upscaler` wrote: a file, or a folder of
    `PRESET_SCALEx.safetensors`.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if is_folder(path) else [path]
    passes: dict[str, dict[int, tuple[str, ...]]] = {}
    for preset, scale, name in _known(files):
        passes.setdefault(preset, {})[scale] = (name,)
    if not passes:
        return None
    return _spec(
        path, {preset: PresetSpec(passes=_with_cascade(each)) for preset, each in passes.items()}
    )


def _known(files: list[Path]) -> Iterator[tuple[str, int, str]]:
    """Preset, scale and name of each file that is one of ours."""
    for file in files:
        about = read_header(file) if file.suffix == SUFFIX else None
        if about and about.get("format") == FORMAT:
            scale = int(json.loads(about["spec"])["scale"])
            yield re.sub(rf"_{scale}x$", "", file.stem), scale, file.name


def _with_cascade(passes: dict[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    if not set(CASCADE) <= set(passes):
        return passes
    return passes | {8: sum((passes[scale] for scale in CASCADE), ())}


def _spec(path: Path, presets: dict[str, PresetSpec]) -> UpscalerSpec:
    """As our own, with other weights; nothing is known of how far their detail can be trusted."""
    folder = path if is_folder(path) else path.parent
    return find_upscaler(UPSCALER).model_copy(
        update={
            "id": path.stem,
            "description": f"the networks of {path.name}",
            "folder": str(folder.resolve()),
            "presets": presets,
            "files": {},
            "licence": "as whoever trained it says",
        }
    )
