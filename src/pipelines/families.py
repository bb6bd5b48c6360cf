"""The families Newsreel runs: an explicit list, and the only place that imports their rooms.
Imports no torch."""

from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import is_file
from src.core.text import read_json
from src.pipelines.cogvideox.family import CogVideoX
from src.pipelines.family import Family, Part
from src.pipelines.ltx.family import LTX
from src.pipelines.stock_only.hunyuan import HunyuanVideo
from src.pipelines.stock_only.ltx2 import LTX2
from src.pipelines.stock_only.svd import SVD
from src.pipelines.stock_only.wan import Wan
from src.pipelines.wan_ti2v.family import WanTI2V

ROOMS: tuple[Family, ...] = (CogVideoX(), WanTI2V(), Wan(), LTX(), SVD(), HunyuanVideo(), LTX2())
FAMILIES: dict[str, Family] = {family.name: family for family in ROOMS}


def family_named(name: str) -> Family:
    """The family called `name`. Raises BadInputError with the list of known ones."""
    if name not in FAMILIES:
        raise BadInputError(f"unknown model family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def family_of(spec: ModelSpec) -> Family:
    """The family of a model."""
    return family_named(spec.family)


def family_of_folder(folder: Path) -> Family:
    """The family whose class a diffusers folder names. Raises MissingFileError or BadInputError."""
    index = read_config(folder / "model_index.json")
    name = index.get("_class_name")
    for family in FAMILIES.values():
        if name in family.pipelines and all(
            bool(index.get(mark)) == set_ for mark, set_ in family.marks.items()
        ):
            return family
    known = sorted({pipeline for family in FAMILIES.values() for pipeline in family.pipelines})
    raise BadInputError(f"{folder} holds a {name}; Newsreel runs {', '.join(known)}")


def parts_in(family: Family, folder: Path) -> tuple[Part, ...]:
    """The parts that a folder has: all but the optional ones that its index has not."""
    index = read_config(folder / "model_index.json")
    there = {name for name, value in index.items() if isinstance(value, list) and any(value)}
    return tuple(part for part in family.parts if not part.optional or part.name in there)


def read_config(path: Path) -> dict:
    """A configuration file of a diffusers folder, as a mapping."""
    if not is_file(path):
        raise MissingFileError(
            f"{path} is missing; a diffusers folder has model_index.json and its parts"
        )
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data
