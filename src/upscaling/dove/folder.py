"""The folder of a DOVE checkpoint, judged by its configuration files. Imports no torch."""

from pathlib import Path
from typing import Any

from src.catalog.upscalers import UpscalerSpec, find_upscaler
from src.core.errors import BadInputError
from src.core.paths import is_file
from src.core.text import read_json

ID = "dove"
TRANSFORMER, VAE, SCHEDULER = (
    "transformer/config.json",
    "vae/config.json",
    "scheduler/scheduler_config.json",
)
PROMPT = (
    "prompt_embeddings/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.safetensors"
)
"""T5's embedding of the empty prompt, under the name that DOVE's repository has for it."""


def detect_dove(path: Path) -> UpscalerSpec | None:
    """The spec of a folder of one's own; None where it has not these parts.

    Raises BadInputError where it has them and they are another model's.
    """
    if not all(is_file(path / name) for name in (TRANSFORMER, VAE)):
        return None
    check_folder(path)
    changed = {"id": path.resolve().name, "folder": str(path.resolve()), "files": {}}
    return find_upscaler(ID).model_copy(update=changed)


def check_folder(path: Path) -> None:
    """Raise BadInputError where a folder's configurations are not those of a DOVE checkpoint."""
    if reason := _reason(path):
        raise BadInputError(f"{path} holds no DOVE checkpoint: {reason}")


def _reason(path: Path) -> str:
    """What is another's, "" where all is DOVE's."""
    transformer, vae = read_json(path / TRANSFORMER), read_json(path / VAE)
    wanted = (
        (TRANSFORMER, transformer, "_class_name", "CogVideoXTransformer3DModel"),
        (TRANSFORMER, transformer, "in_channels", _told(vae, "latent_channels")),
        (TRANSFORMER, transformer, "out_channels", _told(vae, "latent_channels")),
        (TRANSFORMER, transformer, "patch_size_t", 2),
        (TRANSFORMER, transformer, "ofs_embed_dim", None),
        (VAE, vae, "_class_name", "AutoencoderKLCogVideoX"),
    )
    for file, config, key, value in wanted:
        if (found := _told(config, key)) != value:
            return f"{file} says {key} {found!r}, and DOVE's is {value!r}"
    return ""


def _told(config: Any, key: str) -> Any:
    return config.get(key) if isinstance(config, dict) else None
