"""What `src.pipelines.family.Loop` asks for: the parts of making a clip, gathered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.core.plan import Plan, SessionKey
from src.pipelines.cogvideox.conditioning import begin
from src.pipelines.cogvideox.decoding import decode, picture, vae_latents
from src.pipelines.cogvideox.fast_attention import use_fast_attention
from src.pipelines.cogvideox.fast_vae import make_fast
from src.pipelines.cogvideox.kernel_attention import use_kernel
from src.pipelines.cogvideox.schedulers import make_scheduler
from src.pipelines.cogvideox.steps import advance, finish, predict

__all__ = [
    "advance",
    "begin",
    "decode",
    "finish",
    "load",
    "make_scheduler",
    "picture",
    "predict",
    "speed_up",
    "speed_up_vae",
    "stock_arguments",
    "use_kernel",
    "vae_latents",
]
PARTS = ("text_encoder", "transformer", "vae")

speed_up_vae = make_fast


def load(folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]) -> Any:
    """The stock pipeline from a folder, on the CPU; of the parts with weights only these."""
    import diffusers

    return diffusers.CogVideoXImageToVideoPipeline.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        **{part: None for part in PARTS if part not in parts},
        **read,
    )


def speed_up(pipe: Any, key: SessionKey) -> None:
    """The stock sums in less time. Compilers choose their own attention, and only float32 turns as
    complex numbers."""
    make_fast(pipe.vae)
    if key.device == "cpu" and key.dtype == "float32" and not key.compile:
        use_fast_attention(pipe.transformer)


def stock_arguments(plan: Plan) -> dict[str, Any]:
    """What the stock call takes beside the usual."""
    return {
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt or None,
        "guidance_scale": plan.guidance_scale,
        "max_sequence_length": plan.max_sequence_length,
    }
