"""Which weight files a way of enlarging needs, and their hashes. No torch: a request is checked with this."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from src.catalog.upscalers import find_upscaler
from src.core.files import sha256_of
from src.core.plan import Plan, Size

LANCZOS = "lanczos"
SCALES = (2, 4, 8)
OURS = "newsreel"
"""The upscaler that generated clips are delivered and enlarged by."""


def preset_files(preset: str, scale: int) -> list[Path]:
    """The files of all passes of a preset. Raises as `UpscalerSpec.weights` does."""
    return find_upscaler(OURS).weights(preset, scale)


def scale_towards(native: Size, delivered: Size) -> int:
    """The smallest scale whose result is at least the delivered size, and at most 8."""
    ratio = max(delivered.width / native.width, delivered.height / native.height)
    return next((scale for scale in SCALES if scale >= ratio), SCALES[-1])


def delivery_files(upscaler: str, native: Size, delivered: Size) -> list[Path]:
    """What `upscaler`, "lanczos" or a preset, needs to bring native to delivered."""
    if upscaler == LANCZOS:
        return []
    return preset_files(upscaler, scale_towards(native, delivered))


def plan_files(plan: Plan) -> list[Path]:
    """The files that a plan's delivery and upscaling need."""
    further = preset_files(plan.upscale.preset, plan.upscale.scale) if plan.upscale else []
    return delivery_files(plan.upscaler, plan.native, plan.delivered) + further


def file_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {file.name: _sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files}


@lru_cache(maxsize=16)
def _sha256(path: Path, _size: int, _time: int) -> str:
    """Read once for each state that a file was seen in."""
    return sha256_of(path)
