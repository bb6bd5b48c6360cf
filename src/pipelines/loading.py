"""Loading a CogVideoX image-to-video pipeline: safetensors only, in the dtype it runs in, placed by the plan."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from src.core.errors import BadInputError
from src.core.finite import first_not_finite
from src.core.memory import keep_freed_memory
from src.core.plan import SessionKey
from src.pipelines.fast_attention import use_fast_attention
from src.pipelines.fast_vae import make_fast
from src.pipelines.locate import PARTS
from src.pipelines.placement import place
from src.pipelines.tuning import tune

if TYPE_CHECKING:
    from diffusers import CogVideoXImageToVideoPipeline

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_pipeline(folder: Path, key: SessionKey) -> "CogVideoXImageToVideoPipeline":
    """Load the folder as `key` says: dtype, device, offload and VAE variant ("stock" or "fast")."""
    return prepare_pipeline(read_pipeline(folder, DTYPES[key.dtype]), key)


def prepare_pipeline(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> "CogVideoXImageToVideoPipeline":
    """Give a freshly read pipeline the form ("vae"), the tuning and the place that `key` asks for."""
    if key.vae == "fast":
        speed_up(pipe, key)
    tune(pipe, key)
    place(pipe, key)
    return pipe


def speed_up(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> None:
    """The stock sums in less time. Compilers choose their own attention, and only float32 turns as complex numbers."""
    make_fast(pipe.vae)
    if key.device == "cpu":
        keep_freed_memory()
        if key.dtype == "float32" and not key.compile:
            use_fast_attention(pipe.transformer)


def read_pipeline(folder: Path, dtype: torch.dtype, parts: tuple[str, ...] = PARTS) -> "CogVideoXImageToVideoPipeline":
    """The stock pipeline from a folder, on the CPU; of PARTS only `parts`, the others are None.

    Raises BadInputError when a part does not load.
    """
    import diffusers
    import transformers
    from safetensors import SafetensorError

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipe = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True,
            **{part: None for part in PARTS if part not in parts},
        )  # fmt: skip
    except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadInputError(f"model folder {folder} does not load: {' '.join(str(error).split())}") from error
    _check_filled(pipe, folder)
    _check_finite(pipe, folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _check_filled(pipe: "CogVideoXImageToVideoPipeline", folder: Path) -> None:
    """Raise BadInputError where the files lack weights that the configuration asks for: they stay on "meta"."""
    for part in PARTS:
        if getattr(pipe, part) is None:
            continue
        empty = [name for name, value in getattr(pipe, part).named_parameters() if value.is_meta]
        if empty:
            raise BadInputError(f"{folder / part} has no weights for {len(empty)} tensors, such as {empty[0]}")


def _check_finite(pipe: "CogVideoXImageToVideoPipeline", folder: Path) -> None:
    """Raise BadInputError where a weight is not a number, in the dtype that it runs in."""
    for part in PARTS:
        if getattr(pipe, part) is None:
            continue
        name = first_not_finite(getattr(pipe, part).named_parameters())
        if name:
            raise BadInputError(f"{folder / part}: {name} holds numbers that are not finite; fetch or train it again")
