"""Which weight files a way of enlarging needs, and their hashes. No torch: a request is checked with this."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from src.core.errors import MissingWeightsError
from src.core.files import sha256_of
from src.core.paths import CHECKPOINTS, is_file
from src.core.plan import Plan, Size
from src.upscaling.presets import network_spec

FOLDER = CHECKPOINTS / "upscaler"
LANCZOS = "lanczos"
STAGES = {2: (2,), 4: (4,), 8: (4, 2)}
"""The passes behind each scale: 8x is a cascade."""


def weights_file(preset: str, scale: int, folder: Path | None = None) -> Path:
    """Where the weights of a preset at 2x or 4x lie; raises MissingWeightsError with the way to get them."""
    network_spec(preset, scale)
    folder = folder or FOLDER
    path = folder / f"{preset}_{scale}x.safetensors"
    if not is_file(path):
        raise MissingWeightsError(
            f"there are no weights for preset {preset} at {scale}x in {folder}; train them with python -m "
            f"src.train_upscaler --preset {preset} --scale {scale} --export {path}"
        )
    return path


def preset_files(preset: str, scale: int, folder: Path | None = None) -> list[Path]:
    """The files of all passes of a preset at 2x, 4x or 8x."""
    return [weights_file(preset, step, folder) for step in STAGES[scale]]


def scale_towards(native: Size, delivered: Size) -> int:
    """The smallest scale whose result is at least the delivered size, and at most 8."""
    ratio = max(delivered.width / native.width, delivered.height / native.height)
    return next((scale for scale in STAGES if scale >= ratio), 8)


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
