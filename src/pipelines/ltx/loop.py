"""What `src.pipelines.sides` asks of the stock pipeline and of our loop, gathered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src.core.plan import Plan, SessionKey
from src.pipelines.attending import use_in_dispatch
from src.pipelines.flow_schedules import tokens_scheduler as make_scheduler
from src.pipelines.ltx.conditioning import begin
from src.pipelines.ltx.decoding import NOISE, TIMESTEP, decode, picture, vae_latents
from src.pipelines.ltx.parts import PARTS
from src.pipelines.ltx.steps import advance, finish, predict
from src.pipelines.stock_loading import load_stock

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


def load(folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]) -> Any:
    """The stock pipeline from a folder, on the CPU; of the parts with weights only these."""
    return load_stock("LTXImageToVideoPipeline", PARTS, folder, dtype, parts, read)


def speed_up(pipe: Any, key: SessionKey) -> None:
    """The stock sums are taken as they are."""


def speed_up_vae(vae: nn.Module) -> None:
    """The stock sums are taken as they are."""


def use_kernel(pipe: Any, name: str) -> None:
    """Among the video's tokens; the few of the prompt are attended to by torch's own."""
    use_in_dispatch((block.attn1 for block in pipe.transformer.transformer_blocks), name)


def stock_arguments(plan: Plan) -> dict[str, Any]:
    """decode_*: the first form of the model takes no notice."""
    return {
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt or None,
        "guidance_scale": plan.guidance_scale,
        "max_sequence_length": plan.max_sequence_length,
        "frame_rate": round(plan.fps),
        "decode_timestep": TIMESTEP,
        "decode_noise_scale": NOISE,
    }
