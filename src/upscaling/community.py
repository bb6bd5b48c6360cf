"""Community networks of single frames, in the architectures that spandrel knows: any safetensors
file of one.

spandrel is an extra (`requirements-upscalers.txt`). It asks for torchvision, which does not import
beside the CPU build of torch and which two of its architectures alone use, none that enlarges:
three stand-ins are there while spandrel is imported, and nowhere else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from src.catalog.upscalers import Capabilities, PresetSpec, UpscalerSpec
from src.core.errors import BadInputError, NotFiniteError
from src.core.finite import first_not_finite, is_finite
from src.core.option import listed
from src.core.paths import is_file
from src.core.upscale_request import EnhanceSettings
from src.pipelines.saving import load_tensors
from src.upscaling.backends import Measured, Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.enhance import finish_frame
from src.upscaling.ncnn_pair import ncnn_pair
from src.upscaling.network_files import read_header

EXTRA = "pip install --no-deps -r requirements-upscalers.txt"
PICKLED = (".pth", ".pt", ".ckpt", ".bin")
STAND_INS = {
    "torchvision": (),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("InterpolationMode", "rotate", "normalize"),
}
"""Modules of torchvision that spandrel imports, and what it takes from them."""
PURPOSES = ("SR", "Restoration")
SHARE_ALIKE = {"AuraSR": "CC BY-SA 4.0"}
"""Architectures whose published weights have a licence that restricts what becomes of pictures."""
LICENCE_KEYS = ("modelspec.license", "license", "licence")
RESTRICTED = re.compile(
    r"\bnc\b|non.?commercial|research.only|\bby-?(nc|sa|nd)|by.sa", re.IGNORECASE
)


@contextmanager
def stand_ins() -> Iterator[None]:
    """torchvision as far as importing spandrel takes it; what was imported before stays."""
    made = {name: ModuleType(name) for name in STAND_INS if name not in sys.modules}
    for name, module in made.items():
        module.__dict__.update(dict.fromkeys(STAND_INS[name]))
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


@lru_cache(maxsize=1)
def _spandrel() -> Any:
    """The package. Raises BadInputError where it is not here."""
    with stand_ins():
        try:
            import spandrel
        except ImportError as error:
            raise BadInputError(f"community networks need spandrel: {EXTRA} ({error})") from None
    return spandrel


def read_descriptor(path: Path) -> Any:
    """spandrel's descriptor of a safetensors file, on the CPU.

    Raises BadInputError where the file is damaged, of no known architecture, or not for enlarging
    or restoring colour pictures.
    """
    from safetensors import SafetensorError

    spandrel = _spandrel()
    try:
        tensors = load_tensors(path)
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path} is no safetensors file: {error}") from None
    if damaged := first_not_finite(tensors.items()):
        raise BadInputError(f"{path}: {damaged} holds numbers that are not finite; fetch it again")
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(tensors)
    except spandrel.UnsupportedModelError:
        raise BadInputError(
            f"{path} is of no architecture that spandrel {spandrel.__version__} knows"
        ) from None
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise BadInputError(f"{path} does not load: {' '.join(str(error).split())[:200]}") from None
    return _suitable(found, path)


def _suitable(found: Any, path: Path) -> Any:
    name = found.architecture.name
    if found.purpose not in PURPOSES:
        raise BadInputError(
            f"{path} is a {name} for {found.purpose}; upscalers are for {listed(PURPOSES)}"
        )
    if (found.input_channels, found.output_channels) != (3, 3):
        raise BadInputError(
            f"{path} takes {found.input_channels} channels and makes {found.output_channels}, not 3"
        )
    if found.size_requirements.square:
        raise BadInputError(f"{path} is a {name}, which takes square pictures only")
    return found


def detect_community(path: Path) -> UpscalerSpec | None:
    """The spec of one file; imports torch. Raises BadInputError for one that is to be converted
    first, and as `read_descriptor` does.
    """
    if not is_file(path):
        return None
    if path.suffix in (*PICKLED, ".param"):
        made = path.with_suffix(".safetensors").name
        pickled = "pickled, which can run code when it is loaded"
        how = "in ncnn's form" if ncnn_pair(path) else pickled
        raise BadInputError(
            f"{path.name} is {how}; convert it once with "
            f"python -m src.convert_upscaler --input {path} --output {made}"
        )
    return _spec(path, read_descriptor(path)) if path.suffix == ".safetensors" else None


def _spec(path: Path, found: Any) -> UpscalerSpec:
    kind = found.architecture.id
    told = read_header(path) or {}
    licence = next(
        (told[key] for key in LICENCE_KEYS if told.get(key)), SHARE_ALIKE.get(kind, "unknown")
    )
    return UpscalerSpec(
        id=path.stem,
        description=f"{found.architecture.name}, {found.scale}x",
        backend="community",
        folder=str(path.parent.resolve()),
        presets={kind: PresetSpec(passes={found.scale: (path.name,)})},
        capabilities=Capabilities(sharpen=True, preserve_details=True, steady=True),
        licence=licence,
        restricted=bool(RESTRICTED.search(licence)),
        how_to_get="fetch {path} where it is published",
    )


class CommunityBackend(Measured):
    """See `Backend`: each frame by itself, whole; what follows the motion is `--steady`."""

    window, builds = Window(), ()

    def __init__(self, choice: UpscalerChoice) -> None:
        from loguru import logger

        (file,) = choice.files()
        self.hashes, self.scale = choice.hashes(), choice.scale
        self.model = read_descriptor(file.path).to(choice.device).eval()
        self.name = f"{choice.spec.id} ({choice.spec.description})"
        needs = self.model.size_requirements
        self.sizes = Sizes(max(needs.minimum, 1), needs.multiple_of)
        logger.info(f"{self.name}; licence: {choice.spec.licence}")

    def enlarge(
        self, piece: Stretch, settings: EnhanceSettings, run: UpscaleRun
    ) -> Iterator[np.ndarray]:
        """See `Backend.enlarge`. Raises NotFiniteError."""
        full = float(np.iinfo(piece.frames.dtype).max)
        for place in range(piece.before, piece.before + len(piece)):
            run.cancel.check()
            yield self._frame(piece.frames[place], full)[None]

    def _frame(self, frame: np.ndarray, full: float) -> np.ndarray:
        import torch

        given = torch.from_numpy(frame.astype(np.float32) / full).permute(2, 0, 1)[None]
        with torch.inference_mode():
            made = self.model(given.to(self.model.device))
        if not is_finite(made):
            raise NotFiniteError(
                f"{self.name} made a frame that is not finite; the weights are likely damaged"
            )
        return made[0].permute(1, 2, 0).float().cpu().numpy()

    def finish(self, made: np.ndarray, source: np.ndarray, asked: EnhanceSettings) -> np.ndarray:
        """See `Backend.finish`: low frequencies come from the source,
        and what was asked is done.
        """
        return finish_frame(np.array(made), source, self.scale, asked, None)
