"""What a plan needs of a model's folder beside the weights. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.pipelines.cache_fit import FITTED, CacheFit, read_fit
from src.pipelines.families import family_of, read_config
from src.pipelines.locate import base_hash
from src.pipelines.preview_files import PreviewFile, read_preview


@dataclass(frozen=True)
class FolderFiles:
    """fit: the calibration that a cache goes by. preview: the decoder of a draft. heads: attention
    heads, which several processes share. None where it is not needed.
    """

    fit: CacheFit | None = None
    preview: PreviewFile | None = None
    heads: int | None = None


def read_folder_files(
    spec: ModelSpec, folder: Path, cache: str = "none", draft: bool = False, gpus: int = 1
) -> FolderFiles:
    """Read what is needed for a step cache of this name, for a draft, and for so many processes.

    Raises BadInputError where it is not there, and for a family that one process computes.
    """
    return FolderFiles(
        heads=_heads(spec, folder, gpus) if gpus > 1 else None,
        fit=read_fit(folder, base_hash(folder), cache) if cache in FITTED else None,
        preview=read_preview(folder) if draft else None,
    )


def _heads(spec: ModelSpec, folder: Path, gpus: int) -> int:
    family = family_of(spec)
    heads = family.heads(folder, read_config)
    if heads is None:
        raise BadInputError(
            f"--gpus {gpus} does not apply to {spec.id}: {family.title} is computed by one "
            "process; leave it out"
        )
    return heads
