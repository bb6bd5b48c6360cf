"""The memory figures of a model folder: counted from its own configuration files once, and
remembered.
"""

import hashlib
import json
from pathlib import Path

from src.catalog.spec import Memory, ModelSpec
from src.core.durable import write_whole
from src.core.errors import BadInputError
from src.core.paths import home
from src.pipelines.families import family_of, parts_in
from src.pipelines.footprint import count


def counted_folder(spec: ModelSpec, folder: Path) -> ModelSpec:
    """The spec with the figures of a folder's own configurations, which are counted once and
    remembered.

    Raises BadInputError for configurations that no model of its family can be built from.
    """
    parts = parts_in(family_of(spec), folder)
    configs = [(folder / part.name / "config.json").read_text(encoding="utf-8") for part in parts]
    text = json.dumps([configs, spec.native.model_dump(), spec.defaults.num_frames])
    path = home() / "cache" / f"footprint-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    found = _remembered(path)
    if found is None:
        found = count_folder(spec, folder)
        write_whole(path, found.model_dump_json().encode())
    return spec.model_copy(update={"memory": found})


def _remembered(path: Path) -> Memory | None:
    """Figures that an earlier run wrote; None where there are none, or none that this version
    reads.
    """
    try:
        return Memory.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def count_folder(spec: ModelSpec, folder: Path) -> Memory:
    """As `count`; raises BadInputError for configurations that no model of its family can be built
    from.
    """
    try:
        return count(spec, folder)
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{folder}: no model can be built from its configuration files: {reason}"
        ) from error
