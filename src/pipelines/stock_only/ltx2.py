"""LTX-2 image to video: picture and sound are denoised together, and the sound is dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule, SizeRule
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.flow_schedules import euler_schedule, tokens_timesteps
from src.pipelines.sides import Architecture, Stock, StockStages
from src.pipelines.stock_only.base import StockOnly, words
from src.pipelines.stock_only.ltx2_architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

NATIVE, FRAMES, FPS, LENGTH = Size(width=768, height=512), 121, 24.0, 1024
"""As the pipeline's defaults; the last is tokens of the prompt."""
STEPS, SCALE, MOST = 30, 3.0, 481
"""As the pipeline's defaults; the last is frames, twenty seconds, as its longest clip."""


class LTX2(StockOnly):
    """Its first form, whose text encoder is Gemma 3."""

    name = "ltx2"
    title = "LTX-2"
    pipeline = "LTX2ImageToVideoPipeline"
    pipelines: tuple[str, ...] = ("LTX2ImageToVideoPipeline", "LTX2Pipeline")
    parts: tuple[Part, ...] = (
        Part("text_encoder", "text", ("Gemma3ForConditionalGeneration",),
             blocks="model.language_model.layers"),
        Part("connectors", "text", ("LTX2TextConnectors",)),
        Part("transformer", "denoiser", ("LTX2VideoTransformer3DModel",),
             blocks="transformer_blocks"),
        Part("vae", "vae", ("AutoencoderKLLTX2Video",)),
        Part("audio_vae", "vae", ("AutoencoderKLLTX2Audio",)),
        Part("vocoder", "vae", ("LTX2Vocoder", "LTX2VocoderWithBWE")),
    )  # fmt: skip
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": ("GemmaTokenizer", "GemmaTokenizerFast"),
            "scheduler": ("FlowMatchEulerDiscreteScheduler",),
        }
    )

    @property
    def stock(self) -> Stock:
        from src.pipelines.stock_only.ltx2_stock import LTX2Stock

        return LTX2Stock(self)

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        from src.pipelines.stock_only.ltx2_stages import ltx2_stages

        return ltx2_stages(spec, parts)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
        _check_tokens(transformer, vae)
        return self.spec_of(
            folder,
            NATIVE,
            description=f"diffusers folder {folder.name}, without its sound",
            sizes=SizeRule(multiple=32),
            max_sequence_length=LENGTH,
            frames=FrameRule(step=8, most=MOST),
            defaults=Defaults(
                num_frames=FRAMES,
                fps=FPS,
                baseline_num_inference_steps=STEPS,
                baseline_guidance_scale=SCALE,
            ),
            schedule=_schedule(read(folder / "scheduler" / "scheduler_config.json")),
        )

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """Noise levels depend on the tokens of the picture; those of the sound are the same."""
        return tokens_timesteps(count, spec, num_frames)

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """Guidance of the picture; that of the sound, and what else guides, are the pipeline's."""
        return words(plan) | {
            "guidance_scale": plan.guidance_scale,
            "frame_rate": plan.fps,
            "max_sequence_length": plan.max_sequence_length,
        }


def _check_tokens(transformer: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Raise ValueError for a model whose tokens are counted otherwise."""
    if transformer.get("patch_size", 1) != 1 or transformer.get("patch_size_t", 1) != 1:
        raise ValueError("its transformer's patches are larger than a latent cell")
    cell = vae.get("temporal_compression_ratio"), vae.get("spatial_compression_ratio")
    if cell != (8, 32):
        raise ValueError(f"its VAE's cells are {cell} of frames and pixels, not (8, 32)")


def _schedule(scheduler: Mapping[str, Any]) -> Schedule:
    """Raises ValueError for one that draws noise, or visits other levels."""
    if scheduler.get("stochastic_sampling"):
        raise ValueError("its scheduler has stochastic_sampling, which is not known here")
    return euler_schedule(scheduler)
