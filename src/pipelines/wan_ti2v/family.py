"""Wan 2.2 TI2V as files and requests are judged by it. Imports no torch; its sides do, when they
are asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.catalog.spec import ModelSpec
from src.core.plan import Plan
from src.pipelines.family import Attention, Part, Place, Timesteps
from src.pipelines.family_defaults import FamilyDefaults
from src.pipelines.flow_schedules import unipc_flow
from src.pipelines.learning import Training
from src.pipelines.sides import Architecture, Counting, Loop, Stock
from src.pipelines.wan_ti2v.adapter_names import lora_place
from src.pipelines.wan_ti2v.architectures import ARCHITECTURES
from src.pipelines.wan_ti2v.describe import attention, describe
from src.pipelines.wan_ti2v.parts import PARTS


class WanTI2V(FamilyDefaults):
    """Wan 2.2 TI2V-5B: a timestep for each token, the photograph as the first latent frame."""

    name = "wan-ti2v"
    title = "Wan 2.2 TI2V"
    pipelines: tuple[str, ...] = ("WanImageToVideoPipeline", "WanPipeline")
    marks: Mapping[str, bool] = MappingProxyType({"expand_timesteps": True})
    parts: tuple[Part, ...] = PARTS
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "tokenizer": ("T5Tokenizer", "T5TokenizerFast"),
            "scheduler": ("UniPCMultistepScheduler",),
        }
    )
    schedulers: tuple[str, ...] = ("unipc",)
    architectures: Mapping[str, Architecture] = ARCHITECTURES
    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        return describe(folder, read)

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """The same in both modes: there is one scheduler, the checkpoint's."""
        return Timesteps(unipc_flow(count, spec.schedule))

    def lora_place(self, key: str) -> Place | None:
        return lora_place(key)

    def attention(
        self, folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan
    ) -> Attention:
        return attention(folder, read, plan)

    @property
    def stock(self) -> Stock:
        from src.pipelines.wan_ti2v import loop

        return loop

    @property
    def loop(self) -> Loop:
        from src.pipelines.wan_ti2v import loop

        return loop

    @property
    def counting(self) -> Counting:
        from src.pipelines.wan_ti2v import stages

        return stages

    @property
    def training(self) -> Training | None:
        from src.pipelines.wan_ti2v.training import WanTraining

        return WanTraining()
