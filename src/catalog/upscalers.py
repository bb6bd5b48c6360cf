"""The upscalers Newsreel knows: an explicit list, each a file in `configs/upscalers/`."""

from pathlib import Path
from typing import Any, Literal

from src.core.config import Config, Named, load_named
from src.core.errors import BadInputError, MissingWeightsError
from src.core.option import listed
from src.core.paths import CONFIGS, REPOSITORY, is_file
from src.core.upscale_request import FIELDS

UPSCALERS = ("newsreel",)
Capability = Literal["denoise", "deblock", "sharpen", "preserve_details", "steady", "guidance_scale"]


class DetailGate(Config):
    """How far a network's detail is taken over: none where the source is softer than `soft`, `most` where it is
    sharper than `sharp`. Both are the contrast of the source's finest octave over the next
    (`src/upscaling/detail_gate.py` says why).
    """

    soft: float
    sharp: float
    most: float


class PresetSpec(Config):
    """passes: the files behind each scale, in the order they run. gate: of the detail; None takes all of it."""

    passes: dict[int, tuple[str, ...]]
    gate: DetailGate | None = None


class UpscalerSpec(Named):
    """One upscaler.

    backend: what runs it, a name in `src/upscaling/registry.py`. folder: of its files, inside this repository.
    capabilities: of what a request may ask (`src/core/upscale_request.py`), what it does; the rest is refused.
    presets: by name. licence: of the weights.
    how_to_get: the command that makes or fetches a file, with {preset}, {scale} and {path}.
    """

    description: str
    backend: str
    folder: str
    capabilities: frozenset[Capability] = frozenset()
    presets: dict[str, PresetSpec]
    licence: str
    how_to_get: str

    @property
    def place(self) -> Path:
        """Where its files lie."""
        return REPOSITORY / self.folder

    def preset(self, name: str) -> PresetSpec:
        """Raises BadInputError with the list of presets."""
        if name not in self.presets:
            known = ", ".join(self.presets)
            raise BadInputError(f"--preset is {name!r}; it must be one of: {known}")
        return self.presets[name]

    def weights(self, preset: str, scale: int, folder: Path | None = None) -> list[Path]:
        """The files of all passes. Raises MissingWeightsError with the way to get one that is not here.

        folder: where they lie, None for the spec's own.
        """
        passes = self.preset(preset).passes
        if scale not in passes:
            known = listed(tuple(map(str, passes)))
            raise BadInputError(f"--scale is {scale}; for preset {preset} of {self.id} it must be {known}")
        paths = [(folder or self.place) / name for name in passes[scale]]
        for path in paths:
            if not is_file(path):
                raise MissingWeightsError(self._missing(preset, path))
        return paths

    def _missing(self, preset: str, path: Path) -> str:
        """How to get a file, by the scale that it alone is the pass of."""
        passes = self.presets[preset].passes
        scale = next((scale for scale, names in passes.items() if names == (path.name,)), max(passes))
        command = self.how_to_get.format(preset=preset, scale=scale, path=path)
        return f"there are no weights for preset {preset} at {scale}x in {path.parent}; get them with {command}"

    def check(self, asked: dict[str, Any], names: dict[str, str] | None = None) -> None:
        """Raise BadInputError for what is asked, by the request's names, and this upscaler does not do.

        names: that the person knows the fields by, where those are not the flags.
        """
        for name, why in LACKING.items():
            if asked.get(name) not in (None, FIELDS[name].default) and name not in self.capabilities:
                said = (names or {}).get(name, FIELDS[name].flag)
                raise BadInputError(f"{said} does not apply to upscaler {self.id}: {why}")


LACKING = {
    "denoise": "it is not told of noise",
    "deblock": "it is not told of blocks",
    "sharpen": "its frames are not sharpened",
    "preserve_details": "nothing of the source is put back",
    "steady": "its detail is not made to follow the motion",
    "guidance_scale": "it is for diffusion upscalers only",
}


def load_upscalers() -> dict[str, UpscalerSpec]:
    """Every known upscaler by id, in the order of `UPSCALERS`. A file whose id differs from its name raises."""
    return load_named(CONFIGS / "upscalers", UPSCALERS, UpscalerSpec)


def find_upscaler(name: str) -> UpscalerSpec:
    """The spec of an upscaler. Raises BadInputError with the list of known ones."""
    specs = load_upscalers()
    if name not in specs:
        raise BadInputError(f"unknown upscaler {name!r}; known: {', '.join(specs)}")
    return specs[name]
