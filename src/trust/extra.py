"""The extra packages of signing and verification; where one is missing, one sentence."""

import importlib
import importlib.util
from types import ModuleType

from src.core.errors import BadInputError

HOW = "pip install -r requirements-trust.txt"
PACKAGES = {"c2pa": "c2pa-python", "cryptography": "cryptography"}
PRINTS = {"iscc_core": "iscc-core", "imageio_ffmpeg": "imageio-ffmpeg"}
"""What a fingerprint takes besides."""


def load_extra(module: str) -> ModuleType:
    """Import a package of the extra, or a module in it. Raises BadInputError where it is not
    here.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != root:
            raise
        what, name = "signed provenance", PACKAGES.get(root)
        if name is None:
            what, name = "a fingerprint", PRINTS[root]
        raise BadInputError(f"{what} needs {name}: {HOW}") from None


def is_here() -> bool:
    """Whether the packages of signing are installed; loads nothing."""
    return not is_missing(*PACKAGES)


def is_missing(*names: str) -> bool:
    """Whether one of these is not installed; loads nothing."""
    return any(importlib.util.find_spec(name) is None for name in names)


def check_extra() -> None:
    """Raise BadInputError now, rather than after minutes of computing."""
    for name in PACKAGES:
        load_extra(name)
