"""The teacher is the student's own frozen base: with no adapter, or with the guidance adapter.

So a step holds one copy of the base, whatever it teaches.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from src.core.errors import BadInputError
from src.pipelines.adapter_files import AdapterFile
from src.pipelines.adapters import diffusers_state
from src.recipes.lora.layers import ADAPTER
from src.recipes.lora.settings import LoraSettings

TEACHER = "teacher"


@contextmanager
def taught_by(transformer: Any, adapter: str | None) -> Iterator[None]:
    """Meanwhile the transformer plays this frozen adapter, or its base alone; then the student's
    again, which is the only one that trains.
    """
    try:
        if adapter is None:
            transformer.disable_adapters()
        else:
            transformer.set_adapter(adapter)
        yield
    finally:
        if adapter is None:
            transformer.enable_adapters()
        transformer.set_adapter(ADAPTER)


def add_teacher(transformer: Any, file: AdapterFile, settings: LoraSettings) -> None:
    """Put the guidance adapter on the transformer, frozen, and begin the student with its weights.

    Raises BadInputError where the student's rank or layers are others.
    """
    state = diffusers_state(file)
    _check_same(transformer, state, file)
    new_teacher(transformer, settings)
    named = dict(transformer.named_parameters())
    share = settings.scale_alpha / settings.rank  # already multiplied into the file's lora_B
    for key, value in state.items():
        named[_parameter(key, TEACHER)].data.copy_(value)
        student = named[_parameter(key, ADAPTER)]
        student.data.copy_(value / share if "lora_B" in key else value)


def new_teacher(transformer: Any, settings: LoraSettings) -> None:
    """A second adapter in float32, frozen, that changes nothing yet; the student's stays the one
    that plays.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.rank, target_modules=list(settings.layers)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # two are meant
        transformer.add_adapter(config, adapter_name=TEACHER)
    transformer.set_adapter(ADAPTER)
    for name, parameter in transformer.named_parameters():
        if f".{TEACHER}." in name:
            parameter.requires_grad_(False)
            parameter.data = parameter.data.float()


def _parameter(key: str, adapter: str) -> str:
    """`transformer.<module>.lora_A.weight` as PEFT names the parameter."""
    return key.removeprefix("transformer.").removesuffix("weight") + f"{adapter}.weight"


def _check_same(transformer: Any, state: Mapping[str, Tensor], file: AdapterFile) -> None:
    shapes = {
        name: tuple(value.shape)
        for name, value in transformer.named_parameters()
        if f".{ADAPTER}." in name
    }
    found = {_parameter(key, ADAPTER): tuple(value.shape) for key, value in state.items()}
    if shapes != found:
        rank = min(next(iter(state.values())).shape)
        raise BadInputError(
            f"{file.path} has rank {rank} and {len(found) // 2} layers; the student begins as a "
            "copy of it, so give it the same rank and targets"
        )
