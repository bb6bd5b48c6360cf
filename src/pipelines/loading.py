"""Loading a CogVideoX image-to-video pipeline: safetensors only, in the dtype it runs in, placed by the plan."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from src.core.errors import BadInputError
from src.core.plan import SessionKey
from src.pipelines.fast_vae import use_fast_spatial_norm

if TYPE_CHECKING:
    from diffusers import CogVideoXImageToVideoPipeline

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_pipeline(folder: Path, key: SessionKey) -> "CogVideoXImageToVideoPipeline":
    """Load the folder as `key` says: dtype, device, offload and VAE variant ("stock" or "fast")."""
    pipe = read_pipeline(folder, DTYPES[key.dtype])
    if key.vae == "fast":
        use_fast_spatial_norm(pipe.vae)
    place(pipe, key)
    return pipe


def read_pipeline(folder: Path, dtype: torch.dtype) -> "CogVideoXImageToVideoPipeline":
    """The stock pipeline from a folder, on the CPU. Raises BadInputError when a part does not load."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipe = diffusers.CogVideoXImageToVideoPipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise BadInputError(f"model folder {folder} does not load: {' '.join(str(error).split())}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def place(pipe: "CogVideoXImageToVideoPipeline", key: SessionKey) -> None:
    """Put the pipeline on its device: whole, or each model only while it runs ("model")."""
    if key.offload == "model":
        pipe.enable_model_cpu_offload(device=key.device)
    else:
        pipe.to(key.device)
