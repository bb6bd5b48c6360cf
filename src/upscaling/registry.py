"""The backends: an explicit list. One more upscaler is a spec in `configs/upscalers/`, and a line
here where it needs code of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from src.catalog.upscalers import UpscalerSpec, find_upscaler, load_upscalers
from src.core.errors import BadInputError, OutOfMemoryError
from src.core.paths import exists, is_file
from src.pipelines.tensor_files import read_tensor_file
from src.upscaling.backends import Backend, UpscalerChoice
from src.upscaling.community import CommunityBackend, detect_community
from src.upscaling.dove.folder import detect_dove
from src.upscaling.network_files import detect_network
from src.upscaling.star.files import detect_star


def _network(choice: UpscalerChoice) -> Backend:
    from src.upscaling.network_backend import NetworkBackend

    return NetworkBackend(choice)


def _star(choice: UpscalerChoice) -> Backend:
    from src.upscaling.star.backend import StarBackend

    return StarBackend(choice)


def _dove(choice: UpscalerChoice) -> Backend:
    from src.upscaling.dove.backend import DoveBackend

    return DoveBackend(choice)


def _bicubic(choice: UpscalerChoice) -> Backend:
    from src.upscaling.sdxl.backend import BicubicBackend

    return BicubicBackend(choice)


def _no_file(path: Path) -> UpscalerSpec | None:
    """Of what is known by its id alone."""


@dataclass(frozen=True)
class BackendEntry:
    """load: the backend of a choice; imports its network when it is called. detect: the spec of a
    file or folder with weights of this kind, None where they are another's.
    """

    load: Callable[[UpscalerChoice], Backend]
    detect: Callable[[Path], UpscalerSpec | None]


BACKENDS: dict[str, BackendEntry] = {
    "network": BackendEntry(_network, detect_network),
    "star": BackendEntry(_star, detect_star),
    "community": BackendEntry(CommunityBackend, detect_community),
    "dove": BackendEntry(_dove, detect_dove),
    "sdxl": BackendEntry(_bicubic, _no_file),
}
"""What runs an upscaler, by the name that its spec has for it."""


def load_backend(choice: UpscalerChoice) -> Backend:
    """The backend of a choice, loaded, and what refines its frames. Raises as
    `UpscalerChoice.hashes` does.
    """
    choice.spec.check_licence(choice.accepted)
    choice.hashes()
    check_memory(choice)
    backend = BACKENDS[choice.spec.backend].load(choice)
    if choice.refinement is None:
        return backend
    from src.upscaling.sdxl.backend import RefinedBackend

    return RefinedBackend(backend, choice)


def check_memory(choice: UpscalerChoice) -> None:
    """Raise OutOfMemoryError where a CPU has not the memory for the weights in float32: the system
    would end the process without a word.
    """
    import psutil

    if choice.device != "cpu":
        return
    files = [file.path for file in choice.weight_files() if file.path.suffix == ".safetensors"]
    needed = 4 * sum(
        prod(tensor.shape) for file in files for tensor in read_tensor_file(file).tensors.values()
    )
    if needed > (free := psutil.virtual_memory().available):
        raise OutOfMemoryError(
            f"the weights of {choice.spec.id} take {needed / 1e9:.1f} GB in float32, and "
            f"{free / 1e9:.1f} GB are free; close what else uses the memory, or take another "
            "--upscaler"
        )


def detect(path: Path) -> UpscalerSpec:
    """Which upscaler a file or folder holds. Raises BadInputError where it holds none."""
    if path.suffix == ".safetensors" and is_file(path):
        read_tensor_file(path)  # a damaged file is told as that, not as another's
    found = (entry.detect(path) for entry in BACKENDS.values())
    spec = next((spec for spec in found if spec is not None), None)
    if spec is None:
        raise BadInputError(
            f"{path} holds no upscaler; there are backends for: {', '.join(BACKENDS)}"
        )
    return spec


def upscaler_at(upscaler: str) -> UpscalerSpec:
    """The upscaler of an id, or of a path. Raises BadInputError where it is neither."""
    if upscaler in load_upscalers() or not upscaler or not exists(Path(upscaler)):
        return find_upscaler(upscaler)
    return detect(Path(upscaler))
