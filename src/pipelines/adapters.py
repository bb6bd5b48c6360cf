"""Putting LoRA adapters on a pipeline, whatever trainer wrote them, and taking them off without a trace.

Keys are brought to diffusers' form, `transformer.<module>.lora_A.weight`. The scale alpha / rank travels in the
header of a diffusers file, in adapter_config.json of a PEFT file, and as `.alpha` tensors of a kohya file; for the
latter two it is multiplied into lora_B, so that nothing plays at alpha = rank by accident.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.pipelines.adapter_files import AdapterFile

State = dict[str, Tensor]
KOHYA = re.compile(r"^(?:lora_unet|lora_transformer|transformer)_")
DOWN, UP = (".lora_A.", ".lora_down.", ".lora.down."), (".lora_B.", ".lora_up.", ".lora.up.")
MARKERS = dict.fromkeys(DOWN, "A") | dict.fromkeys(UP, "B")
METADATA_KEY = "lora_adapter_metadata"


class AdapterRack:
    """The adapters that are on a pipeline now. `put` changes them; an empty list restores the base exactly."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._on: tuple[tuple[str, float], ...] = ()

    def put(self, adapters: Sequence[AdapterFile]) -> bool:
        """Have exactly these adapters on the transformer; returns whether that changed anything.

        Raises BadInputError when one does not fit it.
        """
        wanted = tuple((a.reference.sha256, a.reference.weight) for a in adapters)
        if wanted == self._on:
            return False
        if not self._swap(adapters, wanted):
            self._replace(adapters)
        self._on = wanted
        return True

    def _swap(self, adapters: Sequence[AdapterFile], wanted: tuple[tuple[str, float], ...]) -> bool:
        """Exchange weights in place where one adapter follows another of the same shapes: nothing recompiles."""
        if len(self._on) != 1 or len(wanted) != 1:
            return False
        state, metadata = diffusers_state(adapters[0], self._pipe.transformer)
        now = {key: tuple(value.shape) for key, value in _loaded(self._pipe.transformer).items()}
        if metadata is not None or now != {key: tuple(value.shape) for key, value in state.items()}:
            return False
        for key, value in _loaded(self._pipe.transformer).items():
            value.data.copy_(state[key].to(value.dtype))
        self._pipe.set_adapters(["adapter-0"], [wanted[0][1]])
        return True

    def _replace(self, adapters: Sequence[AdapterFile]) -> None:
        states = [diffusers_state(adapter, self._pipe.transformer) for adapter in adapters]
        if self._on:
            self._pipe.unload_lora_weights()
            self._on = ()
        names = [f"adapter-{index}" for index in range(len(adapters))]
        for name, (state, metadata) in zip(names, states, strict=True):
            self._pipe.load_lora_into_transformer(state, self._pipe.transformer, adapter_name=name, metadata=metadata)
        if names:
            self._check_loaded(names)
            self._pipe.set_adapters(names, [adapter.reference.weight for adapter in adapters])

    def _check_loaded(self, names: list[str]) -> None:
        loaded = self._pipe.get_list_adapters().get("transformer", [])
        missing = sorted(set(names) - set(loaded))
        if missing:
            raise BadInputError(f"{len(missing)} of {len(names)} adapters loaded nothing onto the transformer")


def diffusers_state(adapter: AdapterFile, transformer: nn.Module) -> tuple[State, dict[str, Any] | None]:
    """Weights with diffusers' keys, and the scale's metadata where the file carries it.

    Raises BadInputError for modules that this transformer does not have or shapes that differ.
    """
    modules = {name: module for name, module in transformer.named_modules() if isinstance(module, nn.Linear)}
    modules |= {name.removesuffix(".base_layer"): module for name, module in modules.items()}
    state = load_file(adapter.path)
    alphas = {key.removesuffix(".alpha"): float(state.pop(key)) for key in list(state) if key.endswith(".alpha")}
    renamed, scales = {}, {}
    for key, value in state.items():
        module, side = split_key(key, modules)
        _check_fit(adapter, key, value, module, side, modules)
        renamed[f"transformer.{module}.lora_{side}.weight"] = value
        scales[module] = alphas.get(key.split(".lora_")[0])
    metadata = adapter.metadata.get(METADATA_KEY)
    if metadata is not None:
        return renamed, json.loads(metadata)
    return _scaled(renamed, scales, adapter.peft_config), None


def split_key(key: str, modules: dict[str, nn.Module]) -> tuple[str, str]:
    """Module name and side ("A" goes down to the rank, "B" comes up) of a key in any of the known forms."""
    body = key.removeprefix("base_model.model.").removeprefix("transformer.")
    for marker, side in MARKERS.items():
        if marker in body:
            name = body.split(marker)[0]
            return _kohya_name(name, modules) if "." not in name and name not in modules else name, side
    raise BadInputError(f"{key!r} is not a LoRA weight Newsreel knows (diffusers, PEFT or kohya names)")


def _kohya_name(name: str, modules: dict[str, nn.Module]) -> str:
    """kohya writes a module's dots as underscores; only the model knows which were dots."""
    flat = {module.replace(".", "_"): module for module in modules if not module.endswith(".base_layer")}
    return flat.get(KOHYA.sub("", name), name)


def _check_fit(
    adapter: AdapterFile, key: str, value: Tensor, module: str, side: str, modules: dict[str, nn.Module]
) -> None:
    if module not in modules:
        raise BadInputError(f"{adapter.path}: this model has no module {module!r}; the adapter is for another base")
    layer = modules[module]
    wanted = layer.in_features if side == "A" else layer.out_features
    if value.ndim != 2 or value.shape[1 if side == "A" else 0] != wanted:
        shape = tuple(value.shape)
        raise BadInputError(f"{adapter.path}: {key} is {shape}, this model needs {wanted}; another base")


def _scaled(state: State, alphas: dict[str, float | None], peft: dict[str, Any]) -> State:
    """Multiply alpha / rank (alpha / sqrt(rank) for rank-stabilised LoRA, arXiv:2312.03732) into lora_B."""
    scaled = dict(state)
    for module, alpha in alphas.items():
        up = f"transformer.{module}.lora_B.weight"
        rank = state[up].shape[1]
        alpha = alpha if alpha is not None else peft.get("alpha_pattern", {}).get(module, peft.get("lora_alpha"))  # noqa: PLW2901
        if alpha is not None:
            divisor = math.sqrt(rank) if peft.get("use_rslora") else rank
            scaled[up] = state[up] * (alpha / divisor)
    return scaled


def _loaded(transformer: nn.Module) -> dict[str, Tensor]:
    """The one adapter's weights that are on the transformer, by diffusers' keys."""
    found = {}
    for name, value in transformer.named_parameters():
        match = re.fullmatch(r"(.+)\.lora_([AB])\.adapter-0\.weight", name)
        if match:
            found[f"transformer.{match[1]}.lora_{match[2]}.weight"] = value
    return found
