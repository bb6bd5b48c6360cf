"""Stable Video Diffusion: a clip of a photograph alone, no words; guidance grows by the frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from src.catalog.spec import Defaults, FrameRule, ModelSpec, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.sides import Architecture, StockStages
from src.pipelines.stock_only.base import StockOnly
from src.pipelines.stock_only.svd_architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

LEAST, MOST, RHO = 0.002, 700.0, 7.0
"""Noise levels, and how they are spaced: arXiv:2206.00364, equation 5."""
NATIVE, STEPS, SCALE, FPS = Size(width=1024, height=576), 25, 3.0, 7.0
"""As the pipeline's defaults."""


class SVD(StockOnly):
    """Image to video of 14 or 25 frames."""

    name = "svd"
    title = "Stable Video Diffusion"
    pipeline = "StableVideoDiffusionPipeline"
    pipelines: tuple[str, ...] = ("StableVideoDiffusionPipeline",)
    reads_prompt = False
    reads_negative = False
    tokenizers: tuple[str, ...] = ()
    parts: tuple[Part, ...] = (
        Part("image_encoder", "image", ("CLIPVisionModelWithProjection",)),
        Part("unet", "denoiser", ("UNetSpatioTemporalConditionModel",), blocks="down_blocks"),
        Part("vae", "vae", ("AutoencoderKLTemporalDecoder",)),
    )
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "feature_extractor": ("CLIPImageProcessor", "CLIPImageProcessorPil"),
            "scheduler": ("EulerDiscreteScheduler",),
        }
    )

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        from src.pipelines.stock_only.svd_stages import svd_stages

        return svd_stages(spec, parts)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        frames = read(folder / "unet" / "config.json")["num_frames"]
        _check_levels(read(folder / "scheduler" / "scheduler_config.json"))
        return self.spec_of(
            folder,
            NATIVE,
            sizes=SizeRule(multiple=8),
            frames=FrameRule(only=frames),
            defaults=Defaults(
                num_frames=frames,
                fps=FPS,
                baseline_num_inference_steps=STEPS,
                baseline_guidance_scale=SCALE,
            ),
        )

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """A quarter of the logarithm of each noise level."""
        ends = MOST ** (1 / RHO), LEAST ** (1 / RHO)
        levels = (ends[0] + np.linspace(0, 1, count) * (ends[1] - ends[0])) ** RHO
        return Timesteps(
            tuple(float(0.25 * np.log(level)) for level in levels),
            tuple(float(level) for level in levels),
        )

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """Guidance goes from none at the first frame to the plan's at the last."""
        return {"max_guidance_scale": plan.guidance_scale, "fps": round(plan.fps)}


def _check_levels(scheduler: Mapping[str, Any]) -> None:
    """Raise ValueError for levels other than those that are planned with."""
    wanted = {
        "use_karras_sigmas": True, "sigma_min": LEAST, "sigma_max": MOST,
        "timestep_type": "continuous", "prediction_type": "v_prediction",
    }  # fmt: skip
    for name, value in wanted.items():
        if scheduler.get(name) != value:
            raise ValueError(f"{name} of its scheduler is {scheduler.get(name)}, not {value}")
