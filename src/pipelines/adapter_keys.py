"""What the keys of a LoRA file say: which module each weight is for, whoever wrote them. Imports no torch.

Known forms: diffusers (`transformer.X.lora_A.weight`, `X.lora.down.weight`), PEFT (`base_model.model.X.lora_A.weight`),
kohya and musubi (`lora_unet_X.lora_down.weight` with one or two underscores, dots written as underscores),
`diffusion_model.X.lora_A.weight`, and SAT (`model.diffusion_model.transformer.layers.N.attention.
query_key_value.matrix_A.0`: 0, 1, 2 are queries, keys, values).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import BadInputError
from src.pipelines.tensor_files import read_tensor_file

Modules = dict[str, tuple[int, int]]
"""Linear modules of a transformer by name: features out and in."""

DOWN = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
UP = ("lora_B", "lora_up", "lora.up", "lora_linear_layer.up")
SIDES = dict.fromkeys(DOWN, "A") | dict.fromkeys(UP, "B")
WEIGHT = re.compile(
    r"(?P<module>.+)\.(?P<side>" + "|".join(map(re.escape, SIDES)) + r")(?:\.(?!weight|bias)\w+)?(?:\.weight)?"
)
ALPHA = re.compile(r"(?P<module>.+?)(?:\.lora)?\.(?:alpha|lora_alpha|network_alpha)(?:\.(?!weight)\w+)?(?:\.weight)?")
PROCESSOR = re.compile(r"(?P<at>.+)\.processor\.to_(?P<name>q|k|v|out)_lora\.(?P<side>down|up)\.weight")
SAT = re.compile(r"(?:transformer\.)?layers\.(\d+)\.attention\.(query_key_value|dense)\.matrix_([AB])\.([012])")
SAT_NAMES = {"query_key_value": ("to_q", "to_k", "to_v"), "dense": ("to_out.0",)}
PREFIXES = ("base_model.", "model.", "module.", "diffusion_model.", "transformer.", "unet.")
FLAT = re.compile(r"^(?:lora_unet|lora_transformer|diffusion_model|transformer|lora)_{1,2}")
STRANGERS = (
    (re.compile(r"(dora_scale|lora_magnitude_vector)"), "DoRA, which scales by the base's own weights"),
    (re.compile(r"\.(lokr_\w+)"), "LoKr"),
    (re.compile(r"\.(hada_\w+)"), "LoHa"),
    (re.compile(r"\.(oft_\w+|glora_\w+|a1\.weight|diff|diff_b)$"), "another kind of adapter"),
    (re.compile(r"^(lora_te\d?_|text_encoders?\d?\.|te\d?_|text_model\.|cond_stage_model\.|conditioner\.)"),
     "an adapter of the text encoder"),
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One module's keys in the file. sat: written by SAT, whose alpha is 1 unless told otherwise."""

    down: str
    up: str
    alpha: str | None = None
    sat: bool = False


def base_modules(base: Path) -> Modules:
    """Linear modules of a model folder's transformer, from the headers of its weight files.

    Raises BadInputError where a file has none.
    """
    modules: Modules = {}
    for file in sorted((base / "transformer").glob("*.safetensors")):
        for key, tensor in read_tensor_file(file).tensors.items():
            if key.endswith(".weight") and len(tensor.shape) == 2:
                modules[key.removesuffix(".weight")] = (tensor.shape[0], tensor.shape[1])
    return modules


def pair_up(path: Path, keys: Iterable[str], modules: Modules) -> dict[str, Pair]:
    """Each module's keys. Raises BadInputError that names the key for another base, another kind of adapter, a weight
    without its counterpart, or two keys for one weight."""
    found: dict[str, dict[str, str]] = {}
    flat = {name.replace(".", "_"): name for name in modules}
    sat = set()
    for key in sorted(keys):
        module, side, is_sat = _place(path, key, flat)
        if module not in modules:
            raise BadInputError(f"{path}: this model has no module {module!r} ({key}); the adapter is for another base")
        if side in found.setdefault(module, {}):
            raise BadInputError(f"{path}: {found[module][side]} and {key} are for one weight of {module}")
        found[module][side] = key
        sat |= {module} if is_sat else set()
    return {module: _pair(path, module, sides, module in sat) for module, sides in found.items()}


def _pair(path: Path, module: str, sides: dict[str, str], sat: bool) -> Pair:
    if "A" not in sides or "B" not in sides:
        given, lacking = next(iter(sides.values())), "lora_B (up)" if "A" in sides else "lora_A (down)"
        raise BadInputError(f"{path}: {given} has no {lacking} beside it; a LoRA is pairs, fetch or export it again")
    return Pair(sides["A"], sides["B"], sides.get("alpha"), sat)


def _place(path: Path, key: str, flat: dict[str, str]) -> tuple[str, str, bool]:
    """Module name, side ("A", "B" or "alpha"), and whether SAT wrote it."""
    for pattern, kind in STRANGERS:
        told = pattern.search(key)
        if told:
            raise BadInputError(f"{path}: {key} tells {kind}; Newsreel takes LoRA of the transformer, pairs of A and B")
    body = _stripped(key)
    sat = SAT.fullmatch(body)
    if sat:
        names = SAT_NAMES[sat[2]]
        name = names[min(int(sat[4]), len(names) - 1)]
        return f"transformer_blocks.{sat[1]}.attn1.{name}", sat[3], True
    processor = PROCESSOR.fullmatch(body)
    if processor:
        name = "to_out.0" if processor["name"] == "out" else f"to_{processor['name']}"
        return f"{processor['at']}.{name}", {"down": "A", "up": "B"}[processor["side"]], False
    return _named(path, key, body, flat)


def _named(path: Path, key: str, body: str, flat: dict[str, str]) -> tuple[str, str, bool]:
    weight, alpha = WEIGHT.fullmatch(body), ALPHA.fullmatch(body)
    if weight:
        return _unflattened(weight["module"], flat), SIDES[weight["side"]], False
    if alpha:
        return _unflattened(alpha["module"], flat), "alpha", False
    raise BadInputError(f"{path}: {key} is not a LoRA weight Newsreel knows (diffusers, PEFT, kohya, SAT names)")


def _stripped(key: str) -> str:
    """Without what trainers put in front of the transformer's own names."""
    while True:
        prefix = next((one for one in PREFIXES if key.startswith(one)), None)
        if prefix is None:
            return key
        key = key.removeprefix(prefix)


def _unflattened(name: str, flat: dict[str, str]) -> str:
    """kohya writes a module's dots as underscores; only the model knows which were dots."""
    return name if "." in name else flat.get(FLAT.sub("", name), flat.get(name, name))
