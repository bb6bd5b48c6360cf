"""The parts of SDXL that refining takes, loaded: UNet, VAE, schedule, and the stored embeddings of
one prompt in the place of both text encoders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.errors import BadInputError, MissingFileError
from src.core.finite import is_finite
from src.core.paths import is_folder
from src.pipelines.reading import read_part
from src.pipelines.saving import load_tensors, write_tensors
from src.upscaling.diffusion import read_scheduler

PROMPT = "sharp, detailed press photograph, natural light, fine texture"
EMBEDDINGS = "prompt/refine.safetensors"
NAMES = ("prompt_embeds", "pooled")


@dataclass(frozen=True)
class SdxlParts:
    """vae: in float32, for that of SDXL 1.0 overflows in float16. prompt: (1, S, D), pooled:
    (1, P). scheduler: Euler's, its steps not set.
    """

    unet: Any
    vae: Any
    scheduler: Any
    prompt: Tensor
    pooled: Tensor


def load_sdxl_parts(folder: Path, dtype: torch.dtype) -> SdxlParts:
    """On the CPU. Raises BadInputError for what does not load or does not belong together."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel

    unet = read_part(UNet2DConditionModel, folder / "unet", dtype, variant="fp16")
    vae = read_part(AutoencoderKL, folder / "vae", torch.float32)
    prompt, pooled = read_embeddings(folder)
    config = unet.config
    wide = config.projection_class_embeddings_input_dim - 6 * (config.addition_time_embed_dim or 0)
    if (prompt.shape[-1], pooled.shape[-1]) != (config.cross_attention_dim, wide):
        raise BadInputError(
            f"{folder / EMBEDDINGS} is {prompt.shape[-1]} and {pooled.shape[-1]} wide, and the "
            "UNet "
            f"reads {config.cross_attention_dim} and {wide}; make it again with "
            "python -m src.prepare_refiner"
        )
    schedule = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_scheduler(schedule, EulerDiscreteScheduler.from_config)
    return SdxlParts(unet, vae, scheduler, prompt, pooled)


def read_embeddings(folder: Path) -> tuple[Tensor, Tensor]:
    """(1, S, D) and (1, P). Raises BadInputError."""
    from safetensors import SafetensorError

    try:
        found = load_tensors(folder / EMBEDDINGS)
        prompt, pooled = (found[name] for name in NAMES)
    except (OSError, KeyError, SafetensorError) as error:
        raise BadInputError(f"{folder / EMBEDDINGS} holds no embeddings: {error}") from None
    if not (is_finite(prompt) and is_finite(pooled)):
        raise BadInputError(f"{folder / EMBEDDINGS} holds numbers that are not finite")
    return prompt, pooled


@torch.no_grad()
def encode_prompt_once(folder: Path) -> Path:
    """Encode `PROMPT` by the folder's two text encoders, once, and keep that in `EMBEDDINGS`.

    Raises BadInputError where they do not load whole, OutputError.
    """
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    if not is_folder(folder):
        raise MissingFileError(f"there is no folder {folder}; it would be that of SDXL's files")
    first, _ = _encoded(folder, "", CLIPTextModel)
    second, pooled = _encoded(folder, "_2", CLIPTextModelWithProjection)
    tensors = dict(zip(NAMES, (torch.cat([first, second], -1).contiguous(), pooled), strict=True))
    return write_tensors(tensors, folder / EMBEDDINGS, {"prompt": PROMPT}, "--folder")


def _encoded(folder: Path, place: str, kind: Any) -> tuple[Tensor, Tensor]:
    """The last layer but one of an encoder, (1, S, D), and what it gives first."""
    tokens, encoder = _tokenizer(folder / f"tokenizer{place}"), folder / f"text_encoder{place}"
    read = tokens(PROMPT, padding="max_length", max_length=tokens.model_max_length,
                  truncation=True, return_tensors="pt")  # fmt: skip
    made = read_part(kind, encoder, torch.float32)(read.input_ids, output_hidden_states=True)
    return made.hidden_states[-2], made[0]


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"{folder} does not load as a CLIPTokenizer: {reason}") from None
