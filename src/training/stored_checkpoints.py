"""Checkpoints that are kept in an artifact store too, such as a bucket: a run whose machine is gone
goes on elsewhere.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from src.artifacts.store import ArtifactStore
from src.core.errors import OutputError
from src.training.checkpoints import STATE, CheckpointManager


class StoredCheckpoints(CheckpointManager):
    """As `CheckpointManager`, with a copy of each state in `files`, as
    `training/RUN-step-00001234.pt`.

    What is newest is taken, of here or of the store. A store that is away costs a warning, not the
    run: the state is on this disk.
    """

    def __init__(self, folder: Path, files: ArtifactStore, run: str, keep: int = 2) -> None:
        super().__init__(folder, keep)
        self.files, self.prefix = files, f"training/{re.sub(r'[^A-Za-z0-9._-]+', '-', run)}-step-"

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        final = super().save(step, state)
        try:
            with (final / STATE).open("rb") as stream:
                self.files.put(self._key(step), stream)
            self.files.delete(*(self._key(old) for old in self.stored()[: -self.keep]))
        except OutputError as error:
            logger.warning("the state of step {} is kept on this machine alone: {}", step, error)
        return final

    def stored(self) -> list[int]:
        """The steps of the store, in numerical order."""
        names = (key.removeprefix(self.prefix).removesuffix(".pt")
                 for key in self.files.list(self.prefix))  # fmt: skip
        return sorted(int(name) for name in names if name.isdecimal())

    def latest(self) -> dict[str, Any] | None:
        there, here = self.stored()[-1:], self.steps()[-1:]
        if there > here:
            self._fetch(there[0])
        return super().latest()

    def _fetch(self, step: int) -> None:
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f".{final.name}.fetched.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with self.files.open(self._key(step)) as stream, (partial / STATE).open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        partial.rename(final)
        logger.info("the state of step {} comes from the store", step)

    def _key(self, step: int) -> str:
        return f"{self.prefix}{step:08d}.pt"
