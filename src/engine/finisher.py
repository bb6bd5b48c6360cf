"""What a finisher is, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.engine.manifest import Manifest

if TYPE_CHECKING:
    from src.engine.enlarged_manifest import EnlargedManifest

SIGNED = "c2pa"
"""The finisher that ships: `signing.py`."""


@dataclass(frozen=True)
class FileContext:
    """manifest: describes the file as it was before. source: the photograph that was kept, or the
    video that was enlarged. final: the name that the file will have.
    """

    manifest: Manifest | EnlargedManifest
    source: Path
    final: Path


Finisher = Callable[[Path, FileContext], None]
"""Works on the whole temporary file before it is published."""
