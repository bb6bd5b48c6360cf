"""Putting LoRA adapters on a pipeline, whatever trainer wrote them, and taking them off without a
trace.

Keys are brought to diffusers' form, `transformer.<module>.lora_A.weight`. The scale alpha / rank
travels in the header of a diffusers file, in adapter_config.json of a PEFT file, and as `.alpha`
tensors of a kohya file; it is multiplied into lora_B, so that nothing plays at alpha = rank by
accident.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.pipelines.adapter_files import AdapterFile
from src.pipelines.adapter_keys import Modules
from src.pipelines.placement import await_copies, order_copies, stream_again, without_hooks
from src.pipelines.saving import load_tensors

State = dict[str, Tensor]


class AdapterRack:
    """The adapters that are on a pipeline now. `put` changes them; an empty list restores the base
    exactly.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._on: tuple[tuple[str, float], ...] = ()
        self._trainable: frozenset[str] = frozenset()

    def put(self, adapters: Sequence[AdapterFile]) -> bool:
        """Have exactly these adapters on the transformer; returns whether that changed anything.

        Raises BadInputError when one does not load; then none is on.
        """
        wanted = tuple((a.reference.sha256, a.reference.weight) for a in adapters)
        if wanted == self._on:
            return False
        await_copies()
        if not self._on:
            self._trainable = _trainable(self._pipe.transformer)
        with without_hooks(self._pipe):
            try:
                if not self._swap(adapters, wanted):
                    self._replace(adapters)
            except BaseException:
                self._take_off()  # those that were put on before it would act on every later clip
                raise
        self._on = wanted
        return True

    def _swap(self, adapters: Sequence[AdapterFile], wanted: tuple[tuple[str, float], ...]) -> bool:
        """Exchange weights in place where one adapter follows another of the same shapes: nothing
        recompiles.
        """
        if len(self._on) != 1 or len(wanted) != 1:
            return False
        state, now = diffusers_state(adapters[0]), _loaded(self._pipe.transformer)
        if _shapes(now) != _shapes(state):
            return False
        for key, value in now.items():
            value.data.copy_(state[key].to(value.dtype))
        stream_again(self._pipe.transformer)
        self._pipe.set_adapters(["adapter-0"], [wanted[0][1]])
        return True

    def _replace(self, adapters: Sequence[AdapterFile]) -> None:
        states = [diffusers_state(adapter) for adapter in adapters]
        if self._on:
            self._take_off()
        if not adapters:
            return
        names = [f"adapter-{index}" for index in range(len(adapters))]
        # diffusers is not told the pipeline: it would have parts stream in other groups than ours
        for name, state in zip(names, states, strict=True):
            self._pipe.load_lora_into_transformer(state, self._pipe.transformer, adapter_name=name)
        stream_again(self._pipe.transformer)
        self._check_loaded(names)
        self._pipe.set_adapters(names, [adapter.reference.weight for adapter in adapters])

    def _take_off(self) -> None:
        """PEFT leaves the base frozen, and torch multiplies by a frozen weight in another order
        (ATen's `should_fold`): the clip would be another one in its last bits.
        """
        self._pipe.unload_lora_weights()
        order_copies(self._pipe.transformer)
        self._on = ()
        for name, weight in self._pipe.transformer.named_parameters():
            weight.requires_grad_(name in self._trainable)

    def _check_loaded(self, names: list[str]) -> None:
        loaded = self._pipe.get_list_adapters().get("transformer", [])
        missing = sorted(set(names) - set(loaded))
        if missing:
            raise BadInputError(
                f"{len(missing)} of {len(names)} adapters loaded nothing onto the transformer"
            )


def diffusers_state(adapter: AdapterFile) -> State:
    """Weights with diffusers' keys; alpha / rank (or alpha / sqrt(rank)) is multiplied into lora_B.

    The file was judged by `read_adapter`. Raises BadInputError where it is another one by now.
    """
    try:
        state = load_tensors(adapter.path)
    except (OSError, SafetensorError) as error:
        raise BadInputError(
            f"{adapter.path} does not load: {error}; fetch or copy it again"
        ) from None
    made = {}
    for module, pair in adapter.pairs.items():
        down, up = (_wide(state[key]).flatten(1) for key in (pair.down, pair.up))
        made[f"transformer.{module}.lora_A.weight"] = down
        made[f"transformer.{module}.lora_B.weight"] = up * scale_of(
            adapter, module, state, up.shape[1]
        )
    return made


def scale_of(adapter: AdapterFile, module: str, state: State, rank: int) -> float:
    """alpha / rank: alpha as a tensor, then by header or adapter_config.json, then the usual one of
    the trainer that wrote the file, then the rank itself.
    """
    pair = adapter.pairs[module]
    if pair.alpha is not None:
        return float(state[pair.alpha]) / rank
    alpha = adapter.scale.alpha_of(module)
    if alpha is None:
        alpha = rank if pair.usual is None else pair.usual
    return alpha / (math.sqrt(rank) if adapter.scale.stabilised else rank)


def _wide(weight: Tensor) -> Tensor:
    """fp8 has no arithmetic of its own."""
    return weight.float() if weight.element_size() == 1 else weight


def _trainable(transformer: nn.Module) -> frozenset[str]:
    named = transformer.named_parameters()
    return frozenset(name for name, weight in named if weight.requires_grad)


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def _loaded(transformer: nn.Module) -> dict[str, Tensor]:
    """The one adapter's weights that are on the transformer, by diffusers' keys."""
    found = {}
    for name, value in transformer.named_parameters():
        match = re.fullmatch(r"(.+)\.lora_([AB])\.adapter-0\.weight", name)
        if match:
            found[f"transformer.{match[1]}.lora_{match[2]}.weight"] = value
    return found


def linear_modules(transformer: nn.Module) -> Modules:
    """What adapters can be put on, as `base_modules` reads it from a folder."""
    found = transformer.named_modules()
    return {
        name: (one.out_features, one.in_features)
        for name, one in found
        if isinstance(one, nn.Linear)
    }
