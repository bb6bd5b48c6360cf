"""The upscalers Newsreel knows: an explicit list, each a file in `configs/upscalers/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from src.core.config import Config, Named, load_named
from src.core.errors import BadInputError, MissingWeightsError
from src.core.option import listed
from src.core.paths import CONFIGS, REPOSITORY, is_file
from src.core.plan import Size
from src.core.text import read_json
from src.core.upscale_request import FIELDS, UPSCALER

UPSCALERS = (UPSCALER, "star", "dove", "sdxl")
USUAL = "balanced"
"""The preset that is taken where nobody names one, of an upscaler that has it."""
NOISY = 0.5
"""The denoise from which on the files for noisy sources are taken, of an upscaler that has such."""
FETCHED = "hashes.json"
"""What a folder of fetched files holds beside them: their SHA-256 as they were written."""
CHANGED = "it was changed or damaged since it was fetched; fetch it again"


class DetailGate(Config):
    """How far a network's detail is taken over: none where the source is softer than `soft`, `most`
    where it is
    sharper than `sharp`. Both are the contrast of the source's finest octave over the next
    (`src/upscaling/detail_gate.py` says why).
    """

    soft: float
    sharp: float
    most: float


class PresetSpec(Config):
    """passes: the files behind each scale, in the order they run; a name with a `*` is of every
    file that it matches. gate: of the detail; None takes all of it. work: 1e12 operations for a
    written frame of 720x480, by scale, as `src/evaluation/upscaler_work.py` counts them; what is
    not said costs a job nothing. model: whose clips alone it was trained for; for others it is not
    offered, but taken by its name. sharpen: how strongly frames of clips are that it delivers; a
    file's are as asked.
    """

    passes: dict[int, tuple[str, ...]]
    gate: DetailGate | None = None
    work: dict[int, float] = Field(default_factory=dict)
    model: str | None = None
    sharpen: float = Field(0.0, ge=0, le=1)


class FileSpec(Config):
    """One weight file as it was published.

    sha256: of its bytes. revision: of the repository that it comes from; of a network that was
    trained here, the step of its training.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    revision: str


class Capabilities(Config):
    """What of a request an upscaler does; each by the request's name for it.
    The rest is refused.
    """

    denoise: bool = False
    """It is told how noisy the source is."""
    deblock: bool = False
    """It is told how strongly the source was coded."""
    sharpen: bool = False
    """Its frames can be sharpened."""
    preserve_details: bool = False
    """What its output lacks of the source can be put back."""
    steady: bool = False
    """Its detail can be made to follow the motion."""
    guidance_scale: bool = False
    """It follows a prompt as strongly as is asked."""
    prompt: bool = False
    """It reads a description of the video."""
    seed: bool = False
    """It draws noise."""
    runtime: bool = False
    """Its networks have optimised builds."""
    precision: bool = False
    """Its networks can be computed in other precisions."""


LACKING = {
    "denoise": "it is not told of noise",
    "deblock": "it is not told of blocks",
    "sharpen": "its frames are not sharpened",
    "preserve_details": "nothing of the source is put back",
    "steady": "its detail is not made to follow the motion",
    "guidance_scale": "it is for diffusion upscalers only",
    "prompt": "it reads none",
    "seed": "it draws no noise",
    "runtime": "it has no optimised builds",
    "precision": "it has no optimised builds",
}


@dataclass(frozen=True)
class WeightFile:
    """A file of weights. name: that plans and checkpoints know it by. pin: the SHA-256 that the
    spec says, else the one that was written down when it was fetched; None where nobody says one.
    spec: the file that says so. cure: what to do where the file is another one.
    """

    name: str
    path: Path
    pin: str | None = None
    spec: str = ""
    cure: str = "restore it, and give weights of your own as --upscaler PATH"


class UpscalerSpec(Named):
    """One upscaler.

    backend: what runs it, a name in `src/upscaling/registry.py`. folder: of its files, inside this
    repository. presets: by name. files: what is known of the weight files, by name; one that is not
    listed is taken as it is. noisy: the file that takes another's place for a noisy source.
    licence: of the weights. restricted: whether it restricts what their pictures may be used for.
    how_to_get: the command that makes or fetches a file, with {preset}, {scale} and {path}.
    """

    description: str
    backend: str
    folder: str
    capabilities: Capabilities = Capabilities()
    presets: dict[str, PresetSpec]
    files: dict[str, FileSpec] = Field(default_factory=dict)
    noisy: dict[str, str] = Field(default_factory=dict)
    licence: str
    restricted: bool = False
    how_to_get: str

    @property
    def usual(self) -> str:
        """The preset that is taken where nobody names one."""
        return USUAL if USUAL in self.presets else next(iter(self.presets))

    def known_as(self, preset: str) -> str:
        """The preset as plans and requests for clips name it: alone, or `ID/PRESET`."""
        return preset if self.id == UPSCALER else f"{self.id}/{preset}"

    def preset(self, name: str) -> PresetSpec:
        """Raises BadInputError with the list of presets."""
        if name not in self.presets:
            known = ", ".join(self.presets)
            raise BadInputError(f"--preset is {name!r}; it must be one of: {known}")
        return self.presets[name]

    def scales(self, preset: str) -> tuple[int, ...]:
        """By which a preset enlarges, the smallest first."""
        return tuple(sorted(self.preset(preset).passes))

    def scale_towards(self, preset: str, native: Size, delivered: Size) -> int:
        """The smallest scale whose result is at least the delivered size, and the largest where
        none is.
        """
        ratio = max(delivered.width / native.width, delivered.height / native.height)
        scales = self.scales(preset)
        return next((scale for scale in scales if scale >= ratio), scales[-1])

    def check_scale(self, preset: str, scale: int, flag: str = "--scale") -> None:
        """Raise BadInputError where the preset does not enlarge by this scale.

        flag: that the person knows the scale by.
        """
        scales = self.scales(preset)
        if scale not in scales:
            known = listed(tuple(map(str, scales)))
            raise BadInputError(
                f"{flag} is {scale}; for preset {preset} of {self.id} it must be {known}"
            )

    def weights(
        self, preset: str, scale: int, folder: Path | None = None, noisy: bool = False
    ) -> list[WeightFile]:
        """The files of all passes. Raises MissingWeightsError with the way to get one that is not
        here.

        folder: where other weights lie, None for the spec's own. noisy: whether the source is.
        """
        self.check_scale(preset, scale)
        names = self.preset(preset).passes[scale]
        names = [self.noisy.get(name, name) if noisy else name for name in names]
        files = [file for name in names for file in self._files(name, folder)]
        for file in files:
            if not is_file(file.path):
                raise MissingWeightsError(self._missing(preset, file.path, scale))
        return files

    def _files(self, name: str, folder: Path | None) -> list[WeightFile]:
        """The file of a name; of one with a `*` every file that it matches, in order."""
        place = folder or REPOSITORY / self.folder
        found = sorted(place.glob(name)) if "*" in name else []
        names = [file.relative_to(place).as_posix() for file in found] or [name]
        return [self._file(each, folder) for each in names]

    def _file(self, name: str, folder: Path | None) -> WeightFile:
        pin = self.files.get(name) if folder is None else None
        place = folder or REPOSITORY / self.folder
        known, path = self.known_as(name), place / name
        if pin:
            return WeightFile(known, path, pin.sha256, f"configs/upscalers/{self.id}.yaml")
        fetched = fetched_hashes(place).get(name)
        return WeightFile(known, path, fetched, str(place / FETCHED), CHANGED)

    def _missing(self, preset: str, path: Path, asked: int) -> str:
        """How to get a file, by the first preset and scale that it alone is the pass of, or those
        that are asked.
        """
        alone = (
            (name, scale)
            for name, spec in self.presets.items()
            for scale, names in spec.passes.items()
            if names == (path.name,)
        )
        owner, scale = next(alone, (preset, asked))
        command = self.how_to_get.format(preset=owner, scale=scale, path=path)
        lacking = f"there are no weights for preset {owner} at {scale}x in {path.parent}"
        return f"{lacking}; get them with {command}"

    @property
    def limits(self) -> str:
        """The licence, where a person must accept it; "" elsewhere."""
        return self.licence if self.restricted else ""

    def check_licence(self, accepted: bool = False) -> None:
        """Raise BadInputError where the licence is a restricted one that nobody accepted."""
        if self.restricted and not accepted:
            raise BadInputError(
                f"the licence of {self.id}, {self.licence}, restricts what its pictures may be "
                "used for; say that its limits are met: --accept-licence, accept_licence=true"
            )

    def check(self, asked: dict[str, Any], names: dict[str, str] | None = None) -> None:
        """Raise BadInputError for what is asked, by the request's names, and this upscaler does not
        do.

        names: that the person knows the fields by, where those are not the flags.
        """
        for name, why in LACKING.items():
            if asked.get(name) not in (None, FIELDS[name].default) and not getattr(
                self.capabilities, name
            ):
                said = (names or {}).get(name, FIELDS[name].flag)
                raise BadInputError(f"{said} does not apply to upscaler {self.id}: {why}")


def fetched_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 by name of what `src.fetch_upscaler` wrote into a folder; empty where it wrote
    nothing.

    Raises BadInputError where its record is none.
    """
    record = folder / FETCHED
    held = read_json(record) if is_file(record) else {}
    if not isinstance(held, dict):
        raise BadInputError(f"{record} is no record of hashes; fetch the files again")
    return held


def load_upscalers() -> dict[str, UpscalerSpec]:
    """Every known upscaler by id, in the order of `UPSCALERS`. A file whose id differs from its
    name raises.
    """
    return load_named(CONFIGS / "upscalers", UPSCALERS, UpscalerSpec)


def find_upscaler(name: str) -> UpscalerSpec:
    """The spec of an upscaler. Raises BadInputError with the list of known ones."""
    specs = load_upscalers()
    if name not in specs:
        raise BadInputError(f"unknown upscaler {name!r}; known: {', '.join(specs)}")
    return specs[name]


def find_preset(
    text: str | None, flag: str = "--preset", further: Sequence[str] = ()
) -> tuple[UpscalerSpec, str]:
    """Upscaler and preset of `PRESET` (of the usual upscaler), `ID/PRESET`, or `ID`; None takes
    what is usual.

    flag: what the text was given as. further: what else that may be. Raises BadInputError with what
    there is.
    """
    specs = load_upscalers()
    usual = specs[UPSCALER]
    name, slash, preset = (text or usual.usual).rpartition("/")
    if not slash and preset in usual.presets:
        return usual, preset
    spec = specs.get(name if slash else preset)
    if spec is None or (slash and preset not in spec.presets):
        known = [each.known_as(name) for each, name in _for_any_footage()]
        raise BadInputError(
            f"{flag} is {text!r}; it must be one of: {', '.join([*further, *known])}"
        )
    return spec, preset if slash else spec.usual


def offered(scale: int) -> dict[str, str]:
    """Presets for any footage, as requests name them, that enlarge by a scale and whose weights are
    here, each with the licence whose limits a person must accept; "" where there are none.
    """
    here = [(spec, preset) for spec, preset in _for_any_footage() if _is_here(spec, preset, scale)]
    return {spec.known_as(preset): spec.limits for spec, preset in here}


def _for_any_footage() -> list[tuple[UpscalerSpec, str]]:
    """Upscaler and preset of all that were made for no one model's clips."""
    return [
        (spec, name)
        for spec in load_upscalers().values()
        for name, preset in spec.presets.items()
        if preset.model is None
    ]


def _is_here(spec: UpscalerSpec, preset: str, scale: int) -> bool:
    try:
        spec.weights(preset, scale)
    except (BadInputError, MissingWeightsError):
        return False
    return True
