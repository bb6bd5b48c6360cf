"""Which artifact store is used: one more is a file beside this one, and its line here."""

from src.artifacts.folder import FolderStore
from src.artifacts.store import ArtifactStore
from src.core.paths import home


def open_store() -> ArtifactStore:
    """The store of this home: its folder."""
    return FolderStore(home())
