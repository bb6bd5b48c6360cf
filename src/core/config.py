"""Typed configuration: frozen models that refuse unknown keys,
and errors that name file and key.
"""

import reprlib
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import absent, is_file
from src.core.text import read_text


class Config(BaseModel):
    """Base of every configuration and request type: immutable; unknown keys, NaN and infinity are
    refused.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


class Named(Config):
    """A configuration that lies in a file of its own, which is called by its id."""

    id: str


ConfigT = TypeVar("ConfigT", bound=BaseModel)
NamedT = TypeVar("NamedT", bound=Named)
SHORT = reprlib.Repr()
# a YAML alias can stand for millions of items
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 100, 100


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: one of the two values would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in known:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice", key.start_mark
                )
            known.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises MissingFileError or BadInputError naming the file and the
    line.
    """
    if not is_file(path):
        raise MissingFileError(f"config file {path} {absent(path)}")
    try:
        data = yaml.load(read_text(path), _Loader)
    except RecursionError:
        raise BadInputError(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2020-13-45
        raise BadInputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadInputError(
            f"{path} must hold a mapping of keys to values, not a {type(data).__name__}"
        )
    return data


def load_config(path: Path, model: type[ConfigT]) -> ConfigT:
    """Read one YAML file into `model`; the file holds only what differs from the defaults. Read
    again once it changes: services ask at each request.
    """
    state = path.stat() if is_file(path) else None
    return _load(path, model, state and (state.st_mtime_ns, state.st_size, state.st_ino))


def load_named(folder: Path, names: tuple[str, ...], model: type[NamedT]) -> dict[str, NamedT]:
    """`NAME.yaml` of each name in a folder, in this order. Raises BadInputError where its id is
    another.
    """
    specs = {name: load_config(folder / f"{name}.yaml", model) for name in names}
    for name, spec in specs.items():
        if spec.id != name:
            place = f"{folder.parent.name}/{folder.name}/{name}.yaml"
            raise BadInputError(f"{place} says id {spec.id!r}; it must be {name!r}")
    return specs


@lru_cache(maxsize=64)
def _load(path: Path, model: type[ConfigT], _state: object) -> ConfigT:
    return validate(read_yaml(path), model, str(path))


def validate(data: dict[str, Any], model: type[ConfigT], origin: str) -> ConfigT:
    """Build `model` from `data`; `origin` (a file, "the flags") opens the error's sentence."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInputError(f"{origin}: {'; '.join(_sentences(error, model))}") from None


def _sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    items = error.errors()
    return [
        _sentence(item, model)
        for item in items
        if not _follows(item, [other["loc"] for other in items])
    ]


def _follows(item: Any, places: list[tuple[Any, ...]]) -> bool:
    """Whether a list is only "too short" because what is wrong inside it was not counted."""
    here = item["loc"]
    return item["type"] == "too_short" and any(
        place[: len(here)] == here and place != here for place in places
    )


def _sentence(item: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "value"
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}; known keys: {', '.join(sorted(model.model_fields))}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message[:2].istitle() else message
    return (
        f"{key}: {message}, got {SHORT.repr(item['input'])}"
        if item["type"] != "missing"
        else f"{key} is required"
    )
