"""The full clip of a draft: what was asked then, without `draft`, at the draft's seed."""

from pathlib import Path
from typing import Any

from src.core.errors import BadInputError
from src.engine.manifest import Manifest, read_manifest
from src.engine.replay import kept_photograph

CLIP = ".mp4"


def full_of(path: Path) -> dict[str, Any]:
    """The fields of the request for the full clip. path: the draft's manifest, or its clip.

    A draft that was written where the person said is replaced by it there. Raises MissingFileError
    where manifest or photograph are gone, BadInputError where it is no draft's.
    """
    path = path.with_suffix(".json") if path.suffix.lower() == CLIP else path
    manifest = read_manifest(path)
    if manifest.plan.draft is None:
        raise BadInputError(
            f"{manifest.clip.file} is no draft; --replay {path} makes it once more as it is"
        )
    return _request(manifest, path)


def _request(manifest: Manifest, path: Path) -> dict[str, Any]:
    asked = {name: value for name, value in manifest.request.items() if name != "draft"}
    asked |= {"input_image": kept_photograph(manifest)[1], "seed": manifest.plan.seed}
    if asked.get("model", "auto") == "auto":
        asked["model"] = manifest.plan.session.model
    if "output_path" in asked:
        asked["output_path"] = path.with_name(manifest.clip.file)
    return asked
