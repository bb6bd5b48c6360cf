"""What `src.pipelines.sides` asks of the stock pipeline and of our loop, gathered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src.core.plan import Plan, SessionKey
from src.pipelines.attending import use_in_dispatch
from src.pipelines.stock_loading import load_stock
from src.pipelines.wan_ti2v.conditioning import begin
from src.pipelines.wan_ti2v.decoding import decode, picture, vae_latents
from src.pipelines.wan_ti2v.parts import PARTS
from src.pipelines.wan_ti2v.steps import advance, finish, predict

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
    return load_stock("WanImageToVideoPipeline", PARTS, folder, dtype, parts, read)


def make_scheduler(stock: Any, plan: Plan, device: str) -> Any:
    """A fresh one on the checkpoint's own configuration, at the plan's steps."""
    made = type(stock).from_config(stock.config)
    made.set_timesteps(plan.num_inference_steps, device=device)
    return made


def speed_up(pipe: Any, key: SessionKey) -> None:
    """The stock sums are taken as they are."""


def speed_up_vae(vae: nn.Module) -> None:
    """The stock sums are taken as they are."""


def use_kernel(pipe: Any, name: str) -> None:
    """Among the video's tokens; the few of the prompt are attended to by torch's own."""
    use_in_dispatch((block.attn1 for block in pipe.transformer.blocks), name)


def stock_arguments(plan: Plan) -> dict[str, Any]:
    """What the stock call takes beside the usual."""
    return {
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt or None,
        "guidance_scale": plan.guidance_scale,
        "max_sequence_length": plan.max_sequence_length,
    }
