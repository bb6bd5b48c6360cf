"""The full clip of a draft: what was asked then, without `draft`, at the draft's seed."""

from pathlib import Path
from typing import Any

from src.core.addresses import CLIPS
from src.core.errors import BadInputError
from src.core.paths import home
from src.core.request import DRAFTS_OWN
from src.engine.manifest import Manifest, read_manifest
from src.engine.replay import kept_photograph, recorded_model

CLIP = ".mp4"


def full_of(path: Path, model: str | None = None) -> dict[str, Any]:
    """The fields of the request for the full clip. path: the draft's manifest, or its clip. model:
    where the model lies now, if it is a folder.

    A draft that was written where the person said is replaced by it there; one among the service's
    clips stays. Raises MissingFileError where manifest or photograph are gone, BadInputError where
    it is no draft's, or the model's weights are others.
    """
    path = path.with_suffix(".json") if path.suffix.lower() == CLIP else path
    manifest = read_manifest(path)
    if manifest.plan.draft is None:
        raise BadInputError(
            f"{manifest.clip.file} is no draft; --replay {path} makes it once more as it is"
        )
    recorded_model(manifest, model)
    return _request(manifest, path) | {"model": model or manifest.plan.session.model}


def _request(manifest: Manifest, path: Path) -> dict[str, Any]:
    asked = {name: value for name, value in manifest.request.items() if name not in DRAFTS_OWN}
    asked |= {"input_image": kept_photograph(manifest)[1], "seed": manifest.plan.seed}
    asked["draft"] = False  # said, so that no variable says otherwise
    if asked.pop("output_path", None) and not _is_kept(path):
        asked["output_path"] = path.with_name(manifest.clip.file)
    return asked


def _is_kept(path: Path) -> bool:
    """Whether it lies where workers put the clips of jobs, which have rows in the database."""
    return path.resolve().parent == (home() / CLIPS).resolve()
