"""What the keys of a LoRA file say: which module each weight is for, whoever wrote them. Imports no
torch.

Known forms: diffusers (`transformer.X.lora_A.weight`, `X.lora.down.weight`), PEFT
(`base_model.model.X.lora_A.weight`), kohya and musubi (`lora_unet_X.lora_down.weight` with one or
two underscores, dots written as underscores), `diffusion_model.X.lora_A.weight`, and what trainers
of one family alone write (`Family.lora_place`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import BadInputError
from src.pipelines.family import Family, Place, parts_of
from src.pipelines.tensor_files import read_tensor_file

Modules = dict[str, tuple[int, int]]
"""Linear modules of a transformer by name: features out and in."""

DOWN = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
UP = ("lora_B", "lora_up", "lora.up", "lora_linear_layer.up")
SIDES = dict.fromkeys(DOWN, "A") | dict.fromkeys(UP, "B")
WEIGHT = re.compile(
    r"(?P<module>.+)\.(?P<side>"
    + "|".join(map(re.escape, SIDES))
    + r")(?:\.(?!weight|bias)\w+)?(?:\.weight)?"
)
ALPHA = re.compile(
    r"(?P<module>.+?)(?:\.lora)?\.(?:alpha|lora_alpha|network_alpha)"
    r"(?:\.(?!weight)\w+)?(?:\.weight)?"
)
PROCESSOR = re.compile(
    r"(?P<at>.+)\.processor\.to_(?P<name>q|k|v|out)_lora\.(?P<side>down|up)\.weight"
)
PREFIXES = ("base_model.", "model.", "module.", "diffusion_model.", "transformer.", "unet.")
FLAT = re.compile(r"^(?:lora_unet|lora_transformer|diffusion_model|transformer|lora)_{1,2}")
STRANGERS = (
    (re.compile(r"(dora_scale|lora_magnitude_vector)"),
     "DoRA, which scales by the base's own weights"),
    (re.compile(r"\.(lokr_\w+)"), "LoKr"),
    (re.compile(r"\.(hada_\w+)"), "LoHa"),
    (re.compile(r"\.(oft_\w+|glora_\w+|a1\.weight|diff|diff_b)$"), "another kind of adapter"),
    (re.compile(r"^(lora_te\d?_|text_encoders?\d?\.|te\d?_|text_model\.|"
                r"cond_stage_model\.|conditioner\.)"),
     "an adapter of the text encoder"),
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One module's keys in the file. usual: its alpha unless the file says another; None for as
    large as the rank.
    """

    down: str
    up: str
    alpha: str | None = None
    usual: float | None = None


def base_modules(family: Family, base: Path) -> Modules:
    """Linear modules of what denoises in a model folder, from the headers of its weight files.

    Raises BadInputError where a file has none.
    """
    modules: Modules = {}
    folders = [base / part.name for part in parts_of(family, "denoiser")]
    for file in (file for folder in folders for file in sorted(folder.glob("*.safetensors"))):
        for key, tensor in read_tensor_file(file).tensors.items():
            if key.endswith(".weight") and len(tensor.shape) == 2:
                modules[key.removesuffix(".weight")] = (tensor.shape[0], tensor.shape[1])
    return modules


def pair_up(family: Family, path: Path, keys: Iterable[str], modules: Modules) -> dict[str, Pair]:
    """Each module's keys. Raises BadInputError that names the key for another base, another kind of
    adapter, a weight without its counterpart, or two keys for one weight.
    """
    found: dict[str, dict[str, str]] = {}
    flat = {name.replace(".", "_"): name for name in modules}
    usual: dict[str, float | None] = {}
    for key in sorted(keys):
        place = _place(family, path, key, flat)
        module, side = place.module, place.side
        if module not in modules:
            raise BadInputError(
                f"{path}: this model has no module {module!r} ({key}); the adapter is for another "
                "base"
            )
        if side in found.setdefault(module, {}):
            raise BadInputError(
                f"{path}: {found[module][side]} and {key} are for one weight of {module}"
            )
        found[module][side] = key
        usual[module] = place.alpha if usual.get(module) is None else usual[module]
    return {module: _pair(path, sides, usual[module]) for module, sides in found.items()}


def _pair(path: Path, sides: dict[str, str], usual: float | None) -> Pair:
    if "A" not in sides or "B" not in sides:
        given, lacking = (
            next(iter(sides.values())),
            "lora_B (up)" if "A" in sides else "lora_A (down)",
        )
        raise BadInputError(
            f"{path}: {given} has no {lacking} beside it; a LoRA is pairs, fetch or export it again"
        )
    return Pair(sides["A"], sides["B"], sides.get("alpha"), usual)


def _place(family: Family, path: Path, key: str, flat: dict[str, str]) -> Place:
    """What a key is for; the side is "A", "B" or "alpha"."""
    for pattern, kind in STRANGERS:
        told = pattern.search(key)
        if told:
            raise BadInputError(
                f"{path}: {key} tells {kind}; Newsreel takes LoRA of the transformer, pairs of A "
                "and B"
            )
    body = _stripped(key)
    own = family.lora_place(body)
    if own:
        return own
    processor = PROCESSOR.fullmatch(body)
    if processor:
        name = "to_out.0" if processor["name"] == "out" else f"to_{processor['name']}"
        return Place(f"{processor['at']}.{name}", {"down": "A", "up": "B"}[processor["side"]])
    return _named(path, key, body, flat)


def _named(path: Path, key: str, body: str, flat: dict[str, str]) -> Place:
    weight, alpha = WEIGHT.fullmatch(body), ALPHA.fullmatch(body)
    if weight:
        return Place(_unflattened(weight["module"], flat), SIDES[weight["side"]])
    if alpha:
        return Place(_unflattened(alpha["module"], flat), "alpha")
    raise BadInputError(
        f"{path}: {key} is not a LoRA weight Newsreel knows (diffusers, PEFT, kohya, SAT names)"
    )


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
