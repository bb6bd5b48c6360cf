"""What a worker would refuse, refused before a job is stored: the worker's own checks, on the
machine that it told of.

Imports no torch and reads no weights into memory. A request that passes may still fail by what only
the run shows.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from src.catalog.profiles import find_profile
from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, NewsreelError
from src.core.hardware import Hardware
from src.core.plan import Adapter
from src.core.prompts import load_templates
from src.core.request import Request
from src.core.wording import counted
from src.engine.distilled import as_distilled
from src.engine.generate import LARGE, choose_model
from src.engine.reckoning import clip_cost
from src.engine.resolve import decided, resolve
from src.engine.schedule import parse_cache
from src.pipelines.adapter_files import find_file, read_adapter, split_weight
from src.pipelines.folder_files import read_folder_files
from src.pipelines.locate import find_weights, locate
from src.pipelines.models import find_model
from src.upscaling.files import upscaler_files

USUAL_DEVICE = "cuda"
"""What costs are reckoned for while no worker has told: the one that takes what any could."""


def check_generate(request: Request, machines: Sequence[Hardware]) -> float:
    """What the clip costs (`reckoning.py`) on the first machine that takes it. Raises what a worker
    would raise.

    machines: of the workers, one of which must take it; while none has told, only what holds
    everywhere is checked.
    """
    _check_gpus(request, machines)
    refused: list[NewsreelError] = []
    for spec, hardware in _cases(request, machines):
        try:
            _check(request, spec, hardware)
            device = hardware.device if hardware else USUAL_DEVICE
            return clip_cost(request, spec, device)
        except NewsreelError as error:
            refused.append(error)
    raise refused[0]


def _check_gpus(request: Request, machines: Sequence[Hardware]) -> None:
    """A job that no worker may take would wait for ever."""
    most = max((hardware.held or hardware.count for hardware in machines), default=0)
    if request.gpus == 1 or request.gpus <= most:
        return
    if not most:
        raise BadInputError(
            f"gpus is {request.gpus}, and no worker has told yet how many devices it holds; send "
            "it again once one runs"
        )
    raise BadInputError(
        f"gpus is {request.gpus}, and no worker holds more than {counted(most, 'device')} for a "
        "clip; ask for at most that"
    )


def models_for(request: Request, machines: Sequence[Hardware]) -> list[ModelSpec]:
    """The models that the request may run on, each once; which it is depends on who takes it.

    Raises BadInputError where the model asked for is not there.
    """
    return list({spec.id: spec for spec, _ in _cases(request, machines)}.values())


def _cases(
    request: Request, machines: Sequence[Hardware]
) -> list[tuple[ModelSpec, Hardware | None]]:
    """The model that would run on each machine; all that `auto` may mean where none is known."""
    if machines:
        return [(choose_model(request, hardware)[0], hardware) for hardware in machines]
    if request.model != "auto":
        return [(find_model(request.model), None)]
    large = find_model(LARGE)
    return [
        (find_model("nano"), None),
        *([(large, None)] if find_weights(large) is not None else []),
    ]


def _check(request: Request, spec: ModelSpec, hardware: Hardware | None) -> None:
    templates = load_templates()
    settled = decided(request, spec, templates)  # licences are told before missing weights
    upscaler_files(settled.way)
    folder = locate(spec)
    adapters = tuple(_adapter(item, folder) for item in request.lora)
    files = read_folder_files(spec, folder, request.cache_name, request.draft, request.gpus)
    if hardware is not None:
        free = hardware.unoccupied
        resolve(request, spec, free, templates, {}, "", 0, adapters, files=files)
        return
    decided(as_distilled(request, spec, adapters), spec, templates)
    if request.profile != "auto":
        find_profile(request.profile)
    if request.cache is not None:
        parse_cache(request.cache)


def _adapter(item: str, folder: Path) -> Adapter:
    """As `read_adapter`; an adapter of gigabytes is read once for each state of its file."""
    state = find_file(Path(split_weight(item)[0])).stat()
    return _read(item, folder, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=64)
def _read(item: str, folder: Path, _state: tuple[int, int]) -> Adapter:
    return read_adapter(item, folder).reference
