"""Loading a pipeline of any family: safetensors only, in the dtype it runs in,
placed by the plan.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from src.core.errors import BadInputError
from src.core.finite import first_not_finite
from src.core.memory import keep_freed_memory
from src.core.plan import SessionKey
from src.pipelines.families import family_named, family_of_folder, parts_in, read_config
from src.pipelines.family import Family
from src.pipelines.placement import place
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
        speed_up(family, pipe, key)
    tune(family, pipe, key)
    place(family, pipe, key)
    return pipe


def speed_up(family: Family, pipe: Any, key: SessionKey) -> None:
    """The stock sums in less time, in memory that freed tensors leave to the next ones on a CPU."""
    family.loop.speed_up(pipe, key)
    if key.device == "cpu":
        keep_freed_memory()


def read_pipeline(folder: Path, dtype: torch.dtype, parts: Sequence[str] | None = None) -> Any:
    """The stock pipeline from a folder, on the CPU; of the parts with weights only `parts`, the
    others are None.

    Raises BadInputError when a part does not load.
    """
    from safetensors import SafetensorError

    family = family_of_folder(folder)
    there = [part.name for part in parts_in(family, folder)]
    wanted = [name for name in there if parts is None or name in parts]
    _quieten()
    try:
        pipe = family.stock.load(folder, dtype, wanted)
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadInputError(
            f"model folder {folder} does not load: {' '.join(str(error).split())}"
        ) from error
    for part in wanted:
        _check_filled(getattr(pipe, part), folder / part)
        _check_finite(getattr(pipe, part), folder / part)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def read_part(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """One part, of a class `kind` of diffusers or transformers, from its own folder, on the CPU.

    options: of `from_pretrained`. Raises BadInputError where it does not load whole and finite.
    """
    from safetensors import SafetensorError

    _quieten()
    usual = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True}
    try:
        part, told = kind.from_pretrained(folder, output_loading_info=True, **usual | options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise BadInputError(f"{folder} does not load as a {kind.__name__}: {reason}") from error
    _check_lacking(sorted(told["missing_keys"]), folder)
    _check_finite(part, folder)
    return part.eval().requires_grad_(False)


def _quieten() -> None:
    """What the libraries would say of loading: bars, and reports of what is judged here."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder alone, of the class that its index names."""
    import transformers

    name = family_of_folder(folder).tokenizers[0]
    kind = read_config(folder / "model_index.json")[name][1]
    return getattr(transformers, kind).from_pretrained(folder / name)


def _check_filled(module: torch.nn.Module, folder: Path) -> None:
    """Raise BadInputError where the files lack weights that the configuration asks for: they stay
    on "meta".
    """
    _check_lacking([name for name, value in module.named_parameters() if value.is_meta], folder)


def _check_lacking(names: Sequence[str], folder: Path) -> None:
    """Raise BadInputError where there are names of weights that a folder has not: transformers
    would make them up.
    """
    if names:
        raise BadInputError(f"{folder} has no weights for {len(names)} tensors, such as {names[0]}")


def _check_finite(module: torch.nn.Module, folder: Path) -> None:
    """Raise BadInputError where a weight is not a number, in the dtype that it runs in."""
    name = first_not_finite(module.named_parameters())
    if name:
        raise BadInputError(
            f"{folder}: {name} holds numbers that are not finite; fetch or train it again"
        )
