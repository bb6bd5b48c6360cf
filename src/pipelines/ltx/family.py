"""LTX-Video as files and requests are judged by it. Imports no torch; its sides do, when they are
asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.family import Attention, Part, Timesteps
from src.pipelines.family_defaults import FamilyDefaults
from src.pipelines.flow_schedules import tokens_timesteps
from src.pipelines.learning import Training
from src.pipelines.ltx.architectures import ARCHITECTURES
from src.pipelines.ltx.describe import attention, describe
from src.pipelines.ltx.parts import PARTS
from src.pipelines.sides import Architecture, Counting, Loop, Stock


class LTX(FamilyDefaults):
    """LTX-Video, of its first form and the later ones whose VAE is told a timestep."""

    name = "ltx"
    title = "LTX-Video"
    pipelines: tuple[str, ...] = ("LTXImageToVideoPipeline", "LTXPipeline")
    parts: tuple[Part, ...] = PARTS
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": ("T5Tokenizer", "T5TokenizerFast"),
            "scheduler": ("FlowMatchEulerDiscreteScheduler",),
        }
    )
    schedulers: tuple[str, ...] = ("euler",)
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        return describe(folder, read)

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """The same in both modes: there is one scheduler, the checkpoint's."""
        return tokens_timesteps(count, spec, num_frames)

    def attention(
        self, folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan
    ) -> Attention:
        return attention(folder, read, plan)

    @property
    def stock(self) -> Stock:
        from src.pipelines.ltx import loop

        return loop

    @property
    def loop(self) -> Loop:
        from src.pipelines.ltx import loop

        return loop

    @property
    def counting(self) -> Counting:
        from src.pipelines.ltx import stages

        return stages

    @property
    def training(self) -> Training | None:
        from src.pipelines.ltx.training import LTXTraining

        return LTXTraining()
