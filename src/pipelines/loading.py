"""Loading a pipeline of any family: safetensors only, in the dtype it runs in,
placed by the plan.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from src.core.errors import BadInputError
from src.core.interrupts import interrupts_kept
from src.core.memory import keep_freed_memory
from src.core.plan import SessionKey
from src.pipelines.classes import class_of
from src.pipelines.families import family_named, family_of_folder, parts_in, read_config
from src.pipelines.family import Family, Part
from src.pipelines.placement import place
from src.pipelines.reading import TROUBLE, quieten, read_whole
from src.pipelines.tuning import tune

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_pipeline(folder: Path, key: SessionKey) -> Any:
    """Load the folder as `key` says: dtype, device, offload and VAE variant ("stock" or "fast")."""
    return prepare_pipeline(read_pipeline(folder, DTYPES[key.dtype]), key)


def prepare_pipeline(pipe: Any, key: SessionKey) -> Any:
    """Give a freshly read pipeline the form ("vae"),
    the tuning and the place that `key` asks for.
    """
    family = family_named(key.family)
    if key.vae == "fast":
        speed_up_pipeline(family, pipe, key)
    tune(family, pipe, key)
    place(family, pipe, key)
    return pipe


def speed_up_pipeline(family: Family, pipe: Any, key: SessionKey) -> None:
    """The stock sums in less time, in memory that freed tensors leave to the next ones on a CPU."""
    family.loop.speed_up(pipe, key)
    if key.device == "cpu":
        keep_freed_memory()


def read_pipeline(folder: Path, dtype: torch.dtype, parts: Sequence[str] | None = None) -> Any:
    """The stock pipeline from a folder, on the CPU; of the parts with weights only `parts`, the
    others are None.

    Raises BadInputError when a part does not load whole, as `read_whole` says it.
    """
    from safetensors import SafetensorError

    family = family_of_folder(folder)
    wanted = [part for part in parts_in(family, folder) if parts is None or part.name in parts]
    quieten()
    read = _read(wanted, folder, dtype)
    try:
        with interrupts_kept():
            pipe = family.stock.load(folder, dtype, [part.name for part in wanted], read)
    except (*TROUBLE, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadInputError(
            f"model folder {folder} does not load: {' '.join(str(error).split())}"
        ) from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _read(parts: Sequence[Part], folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Parts by name, each whole. What is no class of diffusers or transformers is read by its
    family itself.
    """
    index, found = read_config(folder / "model_index.json"), {}
    for part in parts:
        kind = _class_of(index.get(part.name))
        if kind is not None:
            own = torch.float32 if part.full else dtype
            found[part.name] = read_whole(kind, folder / part.name, own)
    return found


def _class_of(named: Any) -> Any:
    """The class that a folder's index names, [library, class]; None where there is none."""
    library, name = named if isinstance(named, list) and len(named) == 2 else (None, None)
    kind = class_of(library, str(name))
    return kind if hasattr(kind, "from_pretrained") else None


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder alone, of the class that its index names."""
    import transformers

    name = family_of_folder(folder).tokenizers[0]
    kind = read_config(folder / "model_index.json")[name][1]
    return getattr(transformers, kind).from_pretrained(folder / name)
