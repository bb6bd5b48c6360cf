"""What a finisher is, and what it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from src.engine.enlarged_manifest import EnlargedManifest
from src.engine.manifest import Manifest


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
