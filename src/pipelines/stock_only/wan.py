"""Wan 2.1 and 2.2 image to video: one transformer, or two of which each has its share of the steps.
TI2V-5B, which is told the photograph in another way, is a family of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.flow_schedules import unipc_flow, unipc_schedule
from src.pipelines.sides import Architecture, StockStages
from src.pipelines.stock_only.base import StockOnly, words
from src.pipelines.stock_only.wan_architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

NATIVE, FRAMES, FPS, LENGTH = Size(width=832, height=480), 81, 16.0, 512
"""As the pipeline's defaults; the last is tokens of the prompt."""


class Wan(StockOnly):
    """2.1 (with an image encoder) and 2.2 A14B (two experts)."""

    name = "wan"
    title = "Wan"
    pipeline = "WanImageToVideoPipeline"
    pipelines: tuple[str, ...] = ("WanImageToVideoPipeline", "WanPipeline")
    marks: Mapping[str, bool] = MappingProxyType({"expand_timesteps": False})
    parts: tuple[Part, ...] = (
        Part("text_encoder", "text", ("UMT5EncoderModel",), blocks="encoder.block"),
        Part("image_encoder", "image", ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
             optional=True, full=True),
        Part("transformer", "denoiser", ("WanTransformer3DModel",), blocks="blocks"),
        Part("transformer_2", "denoiser", ("WanTransformer3DModel",), blocks="blocks",
             optional=True),
        Part("vae", "vae", ("AutoencoderKLWan",), full=True),
    )  # fmt: skip
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": ("T5Tokenizer", "T5TokenizerFast"),
            "image_processor": ("CLIPImageProcessor", "CLIPImageProcessorPil"),
            "scheduler": ("UniPCMultistepScheduler",),
        }
    )

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        from src.pipelines.stock_only.wan_stages import wan_stages

        return wan_stages(spec, parts)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
        if transformer["in_channels"] <= transformer["out_channels"]:
            raise ValueError("it makes videos of words alone and takes no photograph")
        step = vae.get("scale_factor_spatial", 8) * transformer.get("patch_size", (1, 2, 2))[1]
        return self.spec_of(
            folder,
            NATIVE,
            sizes=SizeRule(multiple=step),
            max_sequence_length=LENGTH,
            frames=FrameRule(step=vae.get("scale_factor_temporal", 4), most=FRAMES),
            defaults=Defaults(
                num_frames=FRAMES,
                fps=FPS,
                baseline_num_inference_steps=50,
                baseline_guidance_scale=5.0,
            ),
            schedule=unipc_schedule(read(folder / "scheduler" / "scheduler_config.json")),
        )

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        return Timesteps(unipc_flow(count, spec.schedule))

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        return words(plan) | {
            "guidance_scale": plan.guidance_scale,
            "max_sequence_length": plan.max_sequence_length,
        }
