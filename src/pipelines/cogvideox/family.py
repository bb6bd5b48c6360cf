"""CogVideoX as files and requests are judged by it. Imports no torch; its sides do, when they are
asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.cogvideox.adapter_names import lora_place
from src.pipelines.cogvideox.architectures import ARCHITECTURES
from src.pipelines.cogvideox.describe import attention, describe
from src.pipelines.cogvideox.schedulers import SCHEDULERS, timesteps_of
from src.pipelines.family import Attention, Part, Place, Timesteps
from src.pipelines.family_defaults import FamilyDefaults
from src.pipelines.learning import Small, Training
from src.pipelines.sides import Architecture, Counting, Divided, Loop, Stock


class CogVideoX(FamilyDefaults):
    """1.0 and 1.5, and the embedded model, which is of the same classes."""

    name = "cogvideox"
    title = "CogVideoX"
    pipelines: tuple[str, ...] = ("CogVideoXImageToVideoPipeline",)
    parts: tuple[Part, ...] = (
        Part(
            "text_encoder", "text", ("T5EncoderModel",), blocks="encoder.block", groups=("encoder",)
        ),
        Part(
            "transformer",
            "denoiser",
            ("CogVideoXTransformer3DModel",),
            blocks="transformer_blocks",
            inside=("norm1", "attn1", "norm2", "ff"),
            attention="attn1",
            feed_forward="ff",
            queries="attn1.to_q",
            time="time_embedding",
        ),
        Part("vae", "vae", ("AutoencoderKLCogVideoX",)),
    )
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"tokenizer": ("T5Tokenizer", "T5TokenizerFast"), "scheduler": tuple(SCHEDULERS.values())}
    )
    schedulers: tuple[str, ...] = tuple(SCHEDULERS)
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        return describe(folder, read)

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        return timesteps_of(count, spec, stock)

    def lora_place(self, key: str) -> Place | None:
        return lora_place(key)

    def heads(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> int | None:
        return int(read(folder / "transformer" / "config.json").get("num_attention_heads", 30))

    def attention(
        self, folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan
    ) -> Attention:
        return attention(folder, read, plan)

    @property
    def stock(self) -> Stock:
        from src.pipelines.cogvideox import loop

        return loop

    @property
    def loop(self) -> Loop:
        from src.pipelines.cogvideox import loop

        return loop

    @property
    def divided(self) -> Divided | None:
        from src.pipelines.cogvideox import divided

        return divided

    @property
    def counting(self) -> Counting:
        from src.pipelines.cogvideox import stages

        return stages

    @property
    def training(self) -> Training | None:
        from src.pipelines.cogvideox import training

        return training

    @property
    def small(self) -> Small | None:
        from src.pipelines.cogvideox import small

        return small
