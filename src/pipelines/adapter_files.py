"""LoRA adapter files: found, checked and described from their headers alone. Imports no torch."""

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.core.paths import is_file, is_folder
from src.core.plan import Adapter
from src.pipelines.locate import base_hash

NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
HEADER_LIMIT = 100 * 2**20
BASE_KEY = "newsreel_base_sha256"


@dataclass(frozen=True)
class AdapterFile:
    """path: the safetensors file. reference: what the plan keeps of it. shapes: of its tensors, by key.

    metadata: strings of the header. peft_config: adapter_config.json beside a PEFT file, else empty.
    """

    path: Path
    reference: Adapter
    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str] = field(default_factory=dict)
    peft_config: dict[str, Any] = field(default_factory=dict)


def read_adapter(text: str, base: Path) -> AdapterFile:
    """Read `PATH` or `PATH=WEIGHT`. Raises MissingFileError or BadInputError with what is wrong.

    base: folder of the model it will be used on; an adapter whose header names another base is refused.
    """
    location, weight = split_weight(text)
    path = find_file(Path(location))
    shapes, metadata = read_header(path)
    if not any("lora" in key for key in shapes):
        raise BadInputError(f"{path} has no LoRA weights: it would change nothing")
    check_base(path, metadata, base)
    config = path.with_name("adapter_config.json")
    peft = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    file = f"{path.parent.name}/{path.name}"
    return AdapterFile(path, Adapter(file=file, sha256=sha256_of(path), weight=weight), shapes, metadata, peft)


def split_weight(text: str) -> tuple[str, float]:
    """`PATH=0.8` into path and weight; the weight is 1 when it is not given."""
    location, separator, weight = text.rpartition("=")
    if not separator:
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInputError(f"--lora {text}: {weight!r} is not a weight; for example PATH=0.8")
    return location, number


def find_file(path: Path) -> Path:
    """The safetensors file: the path itself, or the one with a usual name in a folder."""
    if is_folder(path):
        found = [path / name for name in NAMES if (path / name).is_file()]
        if not found:
            raise MissingFileError(f"adapter folder {path} has none of {', '.join(NAMES)}")
        return found[0]
    if not is_file(path):
        raise MissingFileError(f"adapter {path} does not exist")
    if path.suffix != ".safetensors":
        raise BadInputError(f"adapter {path} is not a .safetensors file; other formats can run code when loaded")
    return path


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes by key, and the metadata strings, of a safetensors file (8 bytes of length, then JSON)."""
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else HEADER_LIMIT + 1
        text = stream.read(length) if length <= HEADER_LIMIT else b""
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        return {key: tuple(value["shape"]) for key, value in header.items()}, metadata
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInputError(f"{path} is not a safetensors file") from None


def check_base(path: Path, metadata: dict[str, str], base: Path) -> None:
    """Raise when the header names the hash of another base transformer."""
    trained_on = metadata.get(BASE_KEY)
    if trained_on is None:
        return
    if trained_on != base_hash(base):
        raise BadInputError(f"{path} was trained on another base ({trained_on[:12]}) than {base.name}")
