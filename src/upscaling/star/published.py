"""What is published of STAR becomes the files of its spec, each checked before it counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.core.paths import is_file
from src.pipelines.reading import read_part
from src.pipelines.saving import write_tensors
from src.upscaling.convert import read_weights
from src.upscaling.star.files import FORMAT, check_shapes
from src.upscaling.star.spec import StarSpec

PREFIX = "text_model."
"""Of the text encoder's names in a whole CLIP; transformers knows them without."""
DERIVED = PREFIX + "embeddings.position_ids"
"""Counts from 0; old files have it."""
FLAG = "--output"
VAE = ("vae/config.json", "vae/diffusion_pytorch_model.safetensors")
TEXT = (
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
)
Maker = Callable[[Path, Path], None]
"""Makes files of a part in a folder out of a folder with what was published."""


def network(name: str) -> Maker:
    """`NAME.pt` as `NAME.safetensors` in 16 bit, judged against the architecture."""

    def make(published: Path, folder: Path) -> None:
        source = found(published, f"{name}.pt")
        tensors = read_weights(source)
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        check_shapes(shapes, StarSpec(), source)
        halves = {key: tensors.pop(key).half().clone() for key in list(tensors)}
        about = _about(source) | {"format": FORMAT, "spec": StarSpec().model_dump_json()}
        write_tensors(halves, folder / f"{name}.safetensors", about, FLAG)

    return make


def vae(published: Path, folder: Path) -> None:
    """The VAE of Stable Video Diffusion, as it is."""
    from src.upscaling.star.codec import load_codec

    there = folder / "vae"
    there.mkdir()
    shutil.copyfile(found(published, "config.json"), there / "config.json")
    weights = found(published, "diffusion_pytorch_model.fp16.safetensors")
    shutil.copyfile(weights, there / "diffusion_pytorch_model.safetensors")
    load_codec(there)


def text(published: Path, folder: Path) -> None:
    """The text half of a CLIP in 16 bit, and its tokenizer's two files."""
    import torch
    from transformers import CLIPTextModel

    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer").mkdir(exist_ok=True)
        shutil.copyfile(found(published, name), folder / "tokenizer" / name)
    there = folder / "text_encoder"
    weights = found(published, "model.safetensors")
    write_tensors(_text_tensors(weights), there / "model.safetensors", {"format": "pt"}, FLAG)
    config = _text_config(found(published, "config.json"))
    (there / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    read_part(CLIPTextModel, there, torch.float32)


def _text_tensors(source: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, "pt") as file:
            names = [n for n in file.keys() if n.startswith(PREFIX) and n != DERIVED]  # noqa: SIM118
            tensors = {n.removeprefix(PREFIX): file.get_tensor(n).half() for n in names}
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{source} is no safetensors file: {error}") from None
    if not tensors:
        raise BadInputError(f"{source} holds no text encoder of a CLIP")
    return tensors


def _text_config(source: Path) -> dict[str, Any]:
    try:
        held = json.loads(source.read_text("utf-8"))
        return held.get("text_config", held) | {"architectures": ["CLIPTextModel"]}
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInputError(f"{source} is no configuration of a CLIP: {error}") from None


def found(folder: Path, name: str) -> Path:
    """A file of what was published. Raises MissingFileError."""
    if not is_file(folder / name):
        raise MissingFileError(f"there is no {name} in {folder}")
    return (folder / name).resolve()  # a person's own file under its own name


def _about(source: Path) -> dict[str, str]:
    return {"converted_from": source.name, "converted_sha256": sha256_of(source)}
