"""What answers may tell of this machine: no absolute paths, whoever wrote the sentence."""

import os
import re
from pathlib import Path
from typing import Any

from src.core.paths import REPOSITORY, home

ABSOLUTE = re.compile(r"(?<![\w:/.~-])/(?:[^\s/'\",;:()]+/)+[^\s'\",;:()]*")


def without_paths(text: str) -> str:
    """The text with places under the home and the repository named from there, and other paths by
    their last part.
    """
    for folder, name in (
        (home().absolute(), "outputs"),
        (home().resolve(), "outputs"),
        (REPOSITORY, ""),
    ):
        text = text.replace(f"{folder}/", f"{name}/" if name else "").replace(
            str(folder), name or REPOSITORY.name
        )
    return ABSOLUTE.sub(_last_part, text)


def _last_part(match: re.Match[str]) -> str:
    """Paths of the service's URLs begin with no folder of this machine, and stay."""
    path = Path(match[0])
    return (path.name or match[0]) if f"/{path.parts[1]}" in _roots() else match[0]


def _roots() -> set[str]:
    return {f"/{name}" for name in os.listdir("/")} - {"/api", "/static"}  # noqa: PTH208


def jsonable(value: Any) -> Any:
    """The same for all texts in a JSON value."""
    if isinstance(value, str):
        return without_paths(value) if "/" in value else value
    if isinstance(value, dict):
        return {name: jsonable(each) for name, each in value.items()}
    return [jsonable(each) for each in value] if isinstance(value, list | tuple) else value
