"""Adapters as files: diffusers safetensors whose header says how they were made, on what, from
whose clips.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

import src
from src.core.paths import REPOSITORY, beside
from src.pipelines.adapter_files import BASE_KEY, METADATA_KEY, NAMES
from src.pipelines.saving import writing
from src.recipes.lora.settings import LoraSettings


@dataclass(frozen=True)
class Origin:
    """What an adapter was made from. base: source of the model. rights:
    summary of the manifest's.
    """

    base: str
    base_sha256: str
    manifest_sha256: str
    rights: str


def adapter_state(transformer: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights by diffusers' keys, float32, on the CPU."""
    from peft import get_peft_model_state_dict

    from src.recipes.lora.layers import ADAPTER

    state = get_peft_model_state_dict(transformer, adapter_name=ADAPTER)
    return {
        f"transformer.{key}": value.detach().float().cpu().contiguous()
        for key, value in state.items()
    }


def header(settings: LoraSettings, origin: Origin, epoch: int, step: int) -> dict[str, str]:
    """The strings of the file's header. diffusers reads the scale from its own key: without it,
    files play at 1.
    """
    scale = {"r": settings.rank, "lora_alpha": settings.scale_alpha,
             "target_modules": list(settings.layers), "lora_dropout": settings.dropout}  # fmt: skip
    return {
        "format": "pt",
        METADATA_KEY: json.dumps(
            {f"transformer.{key}": value for key, value in scale.items()}, sort_keys=True
        ),
        BASE_KEY: origin.base_sha256,
        "newsreel_base": origin.base,
        "newsreel_rank": str(settings.rank),
        "newsreel_alpha": f"{settings.scale_alpha:g}",
        "newsreel_targets": ",".join(settings.layers),
        "newsreel_manifest_sha256": origin.manifest_sha256,
        "newsreel_rights": origin.rights,
        "newsreel_code": code_version(),
        "newsreel_epoch": str(epoch),
        "newsreel_step": str(step),
        "newsreel_seed": str(settings.seed),
    }


def write_adapter(folder: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write `folder/pytorch_lora_weights.safetensors`, the folder whole or as it was. Raises
    OutputError.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    partial = beside(folder, "partial")
    try:
        with writing(folder, "--output-dir"):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file(state, partial / NAMES[0], metadata=metadata)
            (partial / NAMES[0]).chmod(0o644)  # else only their owner may read them
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / NAMES[0]


def code_version() -> str:
    """The package's version and a hash over the training code, which says more than a commit that
    was edited.
    """
    digest = hashlib.sha256()
    for file in sorted((REPOSITORY / "src" / "training").glob("*.py")):
        digest.update(file.read_bytes())
    return f"{src.__version__}+{digest.hexdigest()[:12]}"
