"""The parts of a DOVE checkpoint, loaded: transformer, VAE, scheduler, and the empty prompt's
embedding in the place of T5.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.errors import BadInputError
from src.core.finite import is_finite
from src.pipelines.cogvideox.fast_attention import use_fast_attention
from src.pipelines.cogvideox.fast_vae import make_fast
from src.pipelines.cogvideox.schedulers import solver
from src.pipelines.reading import read_part
from src.pipelines.saving import load_tensors
from src.upscaling.diffusion import read_scheduler
from src.upscaling.dove.folder import PROMPT, SCHEDULER, check_folder

KEY = "prompt_embedding"


@dataclass(frozen=True)
class DoveParts:
    """prompt: (1, S, D). scheduler: of the checkpoint's configuration, whose last step is noise
    alone.
    """

    transformer: Any
    vae: Any
    scheduler: Any
    prompt: Tensor


def load_dove_parts(folder: Path, dtype: torch.dtype, device: str) -> DoveParts:
    """On the CPU, in the forms that compute the stock sums in less time on `device`.

    Raises BadInputError for what is not DOVE's, or does not load.
    """
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    check_folder(folder)
    scheduler = read_schedule(folder)
    transformer = read_part(CogVideoXTransformer3DModel, folder / "transformer", dtype)
    vae = read_part(AutoencoderKLCogVideoX, folder / "vae", dtype)
    make_fast(vae)
    if device == "cpu" and dtype == torch.float32:
        use_fast_attention(transformer)
    return DoveParts(transformer, vae, scheduler, read_prompt(folder, transformer.config).to(dtype))


def read_schedule(folder: Path) -> Any:
    """The checkpoint's schedule. Raises BadInputError for one that does not end in noise alone."""
    scheduler = read_scheduler(folder / SCHEDULER, partial(solver, "dpm"))
    if float(scheduler.alphas_cumprod[-1]) > 1e-6:
        raise BadInputError(
            f"{folder / SCHEDULER} leaves a signal in the last step; DOVE's has "
            "rescale_betas_zero_snr true"
        )
    return scheduler


def read_prompt(folder: Path, config: Any) -> Tensor:
    """(1, S, D). Raises BadInputError where the file holds another transformer's embedding."""
    from safetensors import SafetensorError

    wanted = (config.max_text_seq_length, config.text_embed_dim)
    try:
        found = load_tensors(folder / PROMPT)[KEY]
    except (OSError, KeyError, SafetensorError) as error:
        raise BadInputError(f"{folder / PROMPT} holds no {KEY}: {error}") from None
    found = found.reshape(-1, found.shape[-1])
    if tuple(found.shape) != wanted or not is_finite(found):
        raise BadInputError(
            f"{folder / PROMPT} holds {tuple(found.shape)} numbers, and the transformer reads "
            f"{wanted} finite ones"
        )
    return found[None]
