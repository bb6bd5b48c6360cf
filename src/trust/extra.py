"""The extra packages of signing and verification; where one is missing, one sentence."""

import importlib
import importlib.util
from types import ModuleType

from src.core.errors import BadInputError

HOW = "pip install -r requirements-trust.txt"
PACKAGES = {"c2pa": "c2pa-python", "cryptography": "cryptography"}


def load(module: str) -> ModuleType:
    """Import a package of the extra, or a module in it. Raises BadInputError where it is not
    here.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != root:
            raise
        raise BadInputError(f"signed provenance needs {PACKAGES[root]}: {HOW}") from None


def is_here() -> bool:
    """Whether the packages are installed; loads nothing."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


def check() -> None:
    """Raise BadInputError now, rather than after minutes of computing."""
    for name in PACKAGES:
        load(name)
