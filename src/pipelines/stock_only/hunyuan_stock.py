"""HunyuanVideo's stock pipeline: as diffusers has it, with a tokenizer that reads as its file says
and a VAE that works in tiles, as the pipeline's own example asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.core.plan import Plan
from src.pipelines.sides import Pipe
from src.pipelines.stock_only.base import StockPipeline


class HunyuanStock(StockPipeline):
    """Its side `Stock`."""

    def load(
        self, folder: Path, dtype: torch.dtype, parts: Sequence[str], read: Mapping[str, Any]
    ) -> Pipe:
        """Raises ValueError for a tokenizer that the pipeline's template does not fit."""
        tokenizer = {"tokenizer": read_hunyuan_tokenizer(folder / "tokenizer")}
        pipe = super().load(folder, dtype, parts, {**read, **tokenizer})
        if pipe.vae is not None:
            pipe.vae.enable_tiling()
        return pipe

    def make_scheduler(self, stock: Any, plan: Plan, device: str) -> Any:
        """At the pipeline's own noise levels."""
        made = type(stock).from_config(stock.config)
        levels = np.linspace(1.0, 0.0, plan.num_inference_steps + 1)[:-1]
        made.set_timesteps(sigmas=levels, device=device)
        return made


def read_hunyuan_tokenizer(folder: Path) -> Any:
    """As tokenizer.json says: the class that folders name, Llama's, reads files of later Llamas, of
    another kind than its own, without spaces and line breaks (transformers 5).

    Raises ValueError where the photograph and the prompt are not where the pipeline cuts them out.
    """
    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_image2video as of_diffusers
    from transformers import PreTrainedTokenizerFast

    template = of_diffusers.DEFAULT_PROMPT_TEMPLATE
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    before = tokenizer(template["template"].split("{}")[0]).input_ids
    there = before.index(image) if (image := _image_token(tokenizer)) in before else None
    wanted = template["image_emb_start"], template["crop_start"]
    if (there, len(before)) != wanted or tokenizer.padding_side != "right":
        raise ValueError(
            f"its tokenizer has the photograph at token {there} and the prompt at {len(before)} of "
            f"the pipeline's template, not at {wanted[0]} and {wanted[1]}, padded on the right"
        )
    return tokenizer


def _image_token(tokenizer: Any) -> int:
    return tokenizer.convert_tokens_to_ids("<image>")
