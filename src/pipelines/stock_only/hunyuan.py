"""HunyuanVideo image to video: a language model reads the photograph with the prompt, and guidance
is a number that the transformer is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule, SizeRule
from src.core.errors import BadInputError
from src.core.plan import Plan, Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.flow_schedules import euler_flow, euler_schedule
from src.pipelines.sides import Architecture, Stock, StockStages
from src.pipelines.stock_only.base import StockOnly
from src.pipelines.stock_only.hunyuan_architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

NATIVE, FRAMES, STEPS, LENGTH = Size(width=1280, height=720), 129, 50, 256
"""As the pipeline's defaults; the last is tokens of the prompt and of what its template ends in."""
SCALE = 6.0
"""As the pipeline's own example."""
FPS = 24.0
"""As the model's card, not checked; the pipeline's example writes its clip at 15."""
MARKS = ("<image>", "<|")
ENDING = 3
"""Tokens that the template's end takes from the prompt, one for the end of the text counted in."""


class HunyuanVideo(StockOnly):
    """The form whose first latent frame is the photograph's; the other one, of 33 channels, gives
    four frames fewer than it is asked for."""

    name = "hunyuan-video"
    title = "HunyuanVideo"
    pipeline = "HunyuanVideoImageToVideoPipeline"
    pipelines: tuple[str, ...] = ("HunyuanVideoImageToVideoPipeline",)
    reads_negative = False
    tokenizers: tuple[str, ...] = ("tokenizer", "tokenizer_2")
    parts: tuple[Part, ...] = (
        Part("text_encoder", "text", ("LlavaForConditionalGeneration",),
             blocks="model.language_model.layers"),
        Part("text_encoder_2", "text", ("CLIPTextModel",)),
        Part("transformer", "denoiser", ("HunyuanVideoTransformer3DModel",),
             blocks="transformer_blocks", later="single_transformer_blocks"),
        Part("vae", "vae", ("AutoencoderKLHunyuanVideo",)),
    )  # fmt: skip
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": (
                "LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast",
                "TokenizersBackend",
            ),
            "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
            "image_processor": ("CLIPImageProcessor", "CLIPImageProcessorPil"),
            "scheduler": ("FlowMatchEulerDiscreteScheduler",),
        }
    )  # fmt: skip

    @property
    def stock(self) -> Stock:
        from src.pipelines.stock_only.hunyuan_stock import HunyuanStock

        return HunyuanStock(self)

    def stages(self, spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
        from src.pipelines.stock_only.hunyuan_stages import hunyuan_stages

        return hunyuan_stages(spec, parts)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        transformer, vae = (read(folder / part / "config.json") for part in ("transformer", "vae"))
        _check_form(transformer)
        return self.spec_of(
            folder,
            NATIVE,
            sizes=SizeRule(multiple=16),
            max_sequence_length=LENGTH - ENDING,
            frames=FrameRule(step=vae.get("temporal_compression_ratio", 4), most=FRAMES),
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
        return Timesteps(*euler_flow(count, None, spec.schedule))

    def stock_arguments(self, plan: Plan) -> Mapping[str, Any]:
        """Guidance is the embedded one; a second forward, without the prompt, there is not.

        Raises BadInputError for a prompt with marks that the template is made of.
        """
        if found := [mark for mark in MARKS if mark in plan.prompt]:
            raise BadInputError(
                f"the prompt holds {found[0]}, which {self.title} takes for a mark of its own; "
                "leave it out"
            )
        return {
            "prompt": plan.prompt,
            "guidance_scale": plan.guidance_scale,
            "max_sequence_length": plan.max_sequence_length + ENDING,
        }


def _check_form(transformer: Mapping[str, Any]) -> None:
    """Raise ValueError for a transformer that is not told the photograph and guidance so."""
    told = transformer.get("image_condition_type")
    if told != "token_replace":
        raise ValueError(
            f"its transformer is told the photograph by {told}, and by token_replace alone clips "
            "have the length that is asked for"
        )
    if not transformer.get("guidance_embeds", True):
        raise ValueError("its transformer is told no guidance")


def _schedule(scheduler: Mapping[str, Any]) -> Schedule:
    """Raises ValueError for one that the pipeline cannot run with, or not from a seed."""
    for name in ("use_dynamic_shifting", "stochastic_sampling"):
        if scheduler.get(name):
            raise ValueError(f"its scheduler has {name}, which is not known here")
    return euler_schedule(scheduler)
