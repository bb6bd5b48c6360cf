"""What a family is unless it says otherwise: a loop of ours, words and their negative ones, one
process, adapters of diffusers' own names, nothing trained. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.core.plan import Plan
from src.pipelines.family import Attention, Place
from src.pipelines.learning import Small, Training
from src.pipelines.sides import Architecture, Divided


class FamilyDefaults:
    """The members of `src.pipelines.family.Family` that few families differ in."""

    modes: tuple[str, ...] = ("optimized", "baseline")
    reads_prompt: bool = True
    reads_negative: bool = True
    marks: Mapping[str, bool] = MappingProxyType({})
    tokenizers: tuple[str, ...] = ("tokenizer",)
    architectures: Mapping[str, Architecture] = MappingProxyType({})

    def lora_place(self, key: str) -> Place | None:
        return None

    def heads(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> int | None:
        return None

    def attention(
        self, folder: Path, read: Callable[[Path], dict[str, Any]], plan: Plan
    ) -> Attention | None:
        return None

    @property
    def divided(self) -> Divided | None:
        return None

    @property
    def training(self) -> Training | None:
        return None

    @property
    def small(self) -> Small | None:
        return None
