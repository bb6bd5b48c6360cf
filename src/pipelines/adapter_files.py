"""LoRA adapter files: found, checked and described before anything loads. Imports no torch."""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.core.paths import absent, is_file, is_folder
from src.core.plan import Adapter
from src.pipelines.adapter_keys import Modules, Pair, base_modules, pair_up
from src.pipelines.distilled import read_distilled
from src.pipelines.families import family_of_folder
from src.pipelines.family import Family
from src.pipelines.locate import base_hash
from src.pipelines.tensor_files import BITS, TensorFile, read_tensor_file

NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
BASE_KEY = "newsreel_base_sha256"
METADATA_KEY = "lora_adapter_metadata"
ALPHA_KEYS = ("lora_alpha", "ss_network_alpha", "network_alpha", "alpha")
"""Where a header's strings may say alpha for the whole file."""


@dataclass(frozen=True)
class Scale:
    """alpha for the whole file (None: as large as the rank), by pattern of module names, and
    whether it is divided by the square root of the rank (rank-stabilised LoRA, arXiv:2312.03732).
    """

    alpha: float | None = None
    patterns: dict[str, float] = field(default_factory=dict)
    stabilised: bool = False

    def alpha_of(self, module: str) -> float | None:
        """PEFT's rule: the first pattern that is the module's name or its end."""
        for pattern, alpha in self.patterns.items():
            if module == pattern or module.endswith(f".{pattern}"):
                return alpha
        return self.alpha


@dataclass(frozen=True)
class AdapterFile:
    """path: the safetensors file. reference: what the plan keeps of it. pairs: its keys, by the
    module they are for.

    scale: what header or adapter_config.json say of alpha; alphas as tensors win.
    """

    path: Path
    reference: Adapter
    pairs: dict[str, Pair]
    scale: Scale = Scale()


def read_adapter(
    text: str, base: Path, modules: Modules | None = None, family: Family | None = None
) -> AdapterFile:
    """Read `PATH` or `PATH=WEIGHT`. Raises MissingFileError or BadInputError with what is wrong.

    base: folder of the model it will be used on; an adapter that does not fit its weights' headers
    is refused. modules, family: of a transformer that lies in no folder.
    """
    location, weight = split_weight(text)
    if not location:
        raise BadInputError(f"--lora {text!r} names no adapter; give PATH or PATH=WEIGHT")
    path = find_file(Path(location))
    if weight == 0:
        raise BadInputError(f"--lora {text}: with weight 0 it would change nothing; leave it out")
    tensors = read_tensor_file(path)
    if not tensors.tensors or not any(
        re.search("lora|alpha|matrix_[AB]|lokr|hada", key) for key in tensors.tensors
    ):
        raise BadInputError(f"{path} has no LoRA weights: it would change nothing")
    check_base(path, tensors.metadata, base)
    family = family or family_of_folder(base)
    fits = base_modules(family, base) if modules is None else modules
    pairs = pair_up(family, path, tensors.tensors, fits)
    _check_pairs(tensors, pairs, fits)
    file = f"{path.parent.name}/{path.name}"
    reference = Adapter(
        file=file, sha256=sha256_of(path), weight=weight,
        distilled=read_distilled(path, tensors.metadata),
    )  # fmt: skip
    adapter = AdapterFile(path, reference, pairs, read_scale(path, tensors.metadata))
    _check_changes(tensors, adapter)
    return adapter


def split_weight(text: str) -> tuple[str, float]:
    """`PATH=0.8` into path and weight; the weight is 1 when it is not given. A path that exists is
    a path.
    """
    location, separator, weight = text.rpartition("=")
    if not separator or is_file(Path(text)) or is_folder(Path(text)):
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MissingFileError(
            f"--lora {text} does not exist, and {weight!r} is not a weight; for example PATH or "
            "PATH=0.8"
        )
    return location, number


def find_file(path: Path) -> Path:
    """The safetensors file: the path itself, or the one with a usual name in a folder."""
    if is_folder(path):
        found = [path / name for name in NAMES if (path / name).is_file()]
        if not found:
            raise MissingFileError(f"adapter folder {path} has none of {', '.join(NAMES)}")
        return found[0]
    if not is_file(path):
        raise MissingFileError(f"adapter {path} {absent(path)}")
    if path.suffix != ".safetensors":
        raise BadInputError(
            f"adapter {path} is not a .safetensors file; other formats can run code when loaded"
        )
    return path


def _check_pairs(file: TensorFile, pairs: dict[str, Pair], modules: Modules) -> None:
    """Dtypes, shapes and ranks against the base's, and every number finite."""
    for module, pair in pairs.items():
        for key in filter(None, (pair.down, pair.up, pair.alpha)):
            tensor = file.tensors[key]
            if tensor.dtype not in BITS and not (key == pair.alpha and tensor.dtype[:1] in "IU"):
                raise BadInputError(
                    f"{file.path}: {key} is {tensor.dtype}; LoRA weights are floating-point numbers"
                )
            if tensor.dtype in BITS and not file.is_finite(key):
                raise BadInputError(
                    f"{file.path}: {key} holds numbers that are not finite; fetch or train it again"
                )
        _check_shapes(file, pair, modules[module])


def _check_shapes(file: TensorFile, pair: Pair, wanted: tuple[int, int]) -> None:
    """A goes from the features in to the rank, B from the rank to the features out; further sides
    are 1.
    """
    shapes = {}
    for key, side, features in ((pair.down, 1, wanted[1]), (pair.up, 0, wanted[0])):
        shape = file.tensors[key].shape
        if len(shape) not in (2, 4) or math.prod(shape[2:]) != 1 or shape[side] != features:
            raise BadInputError(
                f"{file.path}: {key} is {shape}, this model needs {features} there; another base"
            )
        shapes[key] = shape
    ranks = shapes[pair.down][0], shapes[pair.up][1]
    if ranks[0] != ranks[1] or not ranks[0]:
        raise BadInputError(
            f"{file.path}: {pair.down} has rank {ranks[0]} and {pair.up} rank {ranks[1]}; both "
            "must be the same"
        )
    if pair.alpha and math.prod(file.tensors[pair.alpha].shape) != 1:
        raise BadInputError(
            f"{file.path}: {pair.alpha} is {file.tensors[pair.alpha].shape}; an alpha is one number"
        )


def _check_changes(file: TensorFile, adapter: AdapterFile) -> None:
    """Raise where every module's part is zero."""
    zero = {key for pair in adapter.pairs.values() for key in (pair.down, pair.up, pair.alpha)
            if key and file.tensors[key].dtype in BITS and file.is_zero(key)}  # fmt: skip
    for pair in adapter.pairs.values():
        if not zero & {pair.down, pair.up, pair.alpha}:
            return
    pair = next(iter(adapter.pairs.values()))
    key = next(key for key in (pair.up, pair.down, pair.alpha) if key in zero)
    raise BadInputError(
        f"{file.path} would change nothing: {key} and its like are all zero; was it trained?"
    )


def read_scale(path: Path, metadata: dict[str, str]) -> Scale:
    """What the header, or adapter_config.json beside the file, says of alpha. Raises BadInputError
    for other shapes.
    """
    config = path.with_name("adapter_config.json")
    if METADATA_KEY in metadata:
        given = _mapping(metadata[METADATA_KEY], f"{path}: {METADATA_KEY} in its header")
        given = {key.removeprefix("transformer."): value for key, value in given.items()}
        return _scale(given, f"{path}: {METADATA_KEY}")
    if is_file(config):
        return _scale(_mapping(config.read_bytes(), str(config)), str(config))
    named = next((metadata[key] for key in ALPHA_KEYS if key in metadata), None)
    try:
        return _scale(
            {"lora_alpha": None if named in (None, "None") else float(named)},
            f"{path}: alpha in its header",
        )
    except ValueError:
        raise BadInputError(
            f"{path}: alpha in its header is {named!r}; it must be a number"
        ) from None


def _mapping(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(
            f"{where} is not valid JSON ({error}); export the adapter again"
        ) from None
    if not isinstance(found, dict):
        raise BadInputError(
            f"{where} is a {type(found).__name__}; it must be an object with r and lora_alpha"
        )
    return found


def _scale(given: dict[str, Any], where: str) -> Scale:
    if given.get("use_dora"):
        raise BadInputError(f"{where}: use_dora tells DoRA; Newsreel takes plain LoRA")
    if str(given.get("peft_type") or "LORA").upper() != "LORA":
        raise BadInputError(f"{where}: peft_type is {given['peft_type']!r}; Newsreel takes LORA")
    patterns = given.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise BadInputError(
            f"{where}: alpha_pattern is {patterns!r}; it must map modules to numbers"
        )
    for name, alpha in {"lora_alpha": given.get("lora_alpha"), **patterns}.items():
        if not _is_alpha(alpha) and not (alpha is None and name == "lora_alpha"):
            raise BadInputError(f"{where}: {name} is {alpha!r}; it must be a number other than 0")
    return Scale(given.get("lora_alpha"), dict(patterns), bool(given.get("use_rslora")))


def _is_alpha(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value != 0


def check_base(path: Path, metadata: dict[str, str], base: Path) -> None:
    """Raise when the header names the hash of another base transformer."""
    trained_on = metadata.get(BASE_KEY)
    if trained_on is None:
        return
    if trained_on != base_hash(base):
        raise BadInputError(
            f"{path} was trained on another base ({trained_on[:12]}) than {base.name}"
        )
