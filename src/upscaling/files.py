"""Which weight files a way of enlarging needs, and their hashes. No torch: a request is checked
with this.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from src.catalog.upscalers import WeightFile, find_preset
from src.core.errors import BadInputError
from src.core.hash_cache import HashCache
from src.core.paths import home
from src.core.plan import Plan, Size, Upscale

LANCZOS = "lanczos"


@dataclass(frozen=True)
class Enlargement:
    """The way from native frames to the clip, in a plan's names.

    upscaler: what leads to the delivered size, "lanczos" or a preset. scale: by which it enlarges.
    upscale: what enlarges the delivered frames.
    """

    native: Size
    delivered: Size
    upscaler: str
    scale: int
    upscale: Upscale | None

    @property
    def written(self) -> Size:
        """The size of the file's frames: delivered, or enlarged."""
        return self.delivered.times(self.upscale.scale if self.upscale else 1)


def preset_files(name: str, scale: int) -> list[WeightFile]:
    """The files of all passes of a preset, `PRESET` or `ID/PRESET`. Raises as
    `UpscalerSpec.weights` does.
    """
    spec, preset = find_preset(name)
    return spec.weights(preset, scale)


def scale_towards(name: str, native: Size, delivered: Size) -> int:
    """By which a preset, or "lanczos", enlarges before the rest is resampled; 1 for "lanczos"."""
    if name == LANCZOS:
        return 1
    spec, preset = find_preset(name)
    return spec.scale_towards(preset, native, delivered)


def upscaler_files(way: Enlargement) -> list[WeightFile]:
    """The files that delivery and upscaling need. Raises MissingWeightsError where one is not
    here.
    """
    passes = [(way.upscaler, way.scale)] if way.upscaler != LANCZOS else []
    passes += [(way.upscale.preset, way.upscale.scale)] if way.upscale else []
    return [file for name, scale in passes for file in preset_files(name, scale)]


def plan_files(plan: Plan) -> list[WeightFile]:
    """The files that a plan needs."""
    scale = scale_towards(plan.upscaler, plan.native, plan.delivered)
    way = Enlargement(plan.native, plan.delivered, plan.upscaler, scale, plan.upscale)
    return upscaler_files(way)


def file_hashes(files: Iterable[WeightFile]) -> dict[str, str]:
    """SHA-256 of each file, by its name. Raises BadInputError for a file that is not the one its
    spec names.
    """
    found = {
        file: _sha256(file.path, file.path.stat().st_size, file.path.stat().st_mtime_ns)
        for file in files
    }
    for file, sha256 in found.items():
        if file.pin not in (None, sha256):
            raise BadInputError(
                f"{file.path} is not the file that {file.spec} names "
                f"(SHA-256 {sha256[:12]}, there {file.pin[:12]}); {file.cure}"
            )
    return {file.name: sha256 for file, sha256 in found.items()}


@lru_cache(maxsize=16)
def _sha256(path: Path, _size: int, _time: int) -> str:
    """Read once for each state of a file, also by later processes: weights may be gigabytes."""
    memory = HashCache(home() / "cache" / "weight-hashes.json")
    sha256 = memory.sha256(path)
    memory.save()
    return sha256
