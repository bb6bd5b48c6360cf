"""Classes that a folder's model_index.json names, by library and name. Imports no torch until one
is asked for."""

import importlib
from types import MappingProxyType
from typing import Any

LIBRARIES = MappingProxyType(
    {
        "diffusers": "diffusers",
        "transformers": "transformers",
        "ltx2": "diffusers.pipelines.ltx2",
    }
)
"""The libraries that parts come from, and their modules: diffusers names a class of one of its
pipelines by that pipeline's folder."""


def class_of(library: str | None, name: str) -> Any:
    """The class; None where there is none."""
    module = LIBRARIES.get(library or "")
    return getattr(importlib.import_module(module), name, None) if module else None


def class_named(name: str) -> Any:
    """The class of any of the libraries. Raises LookupError where none has it."""
    found = next(filter(None, (class_of(library, name) for library in LIBRARIES)), None)
    if found is None:
        raise LookupError(f"no library has a class {name}")
    return found
