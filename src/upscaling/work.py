"""The folder a run works in, beside its output: segments, and what else the next run needs to go on.

`.NAME.KEY.partial/`, where KEY is of everything that decides the output's bytes. The same command finds the folder
again; a command with other settings has another one. It goes when the output is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from src.core.errors import BadInputError
from src.media.segments import finished_segments
from src.media.writer import output_error

LOCK, FACTS, STATE = "pid", "facts.json", "state-{:06d}.npz"


def key_of(decides: dict[str, Any]) -> str:
    """Sixteen hex digits for everything that decides an output's bytes."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:16]


class WorkFolder:
    """The folder of a target and of what decides its bytes. Raises OutputError where it cannot be made."""

    def __init__(self, target: Path, decides: dict[str, Any]) -> None:
        self.path = target.with_name(f".{target.name}.{key_of(decides)}.partial")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
        except OSError as error:
            raise output_error(target, error) from None

    def _lock(self) -> None:
        """One run at a time; the lock of a process that is gone does not count."""
        file = self.path / LOCK
        if file.is_file():
            owner = file.read_text("utf-8").strip()
            if owner.isdigit() and int(owner) != os.getpid() and _wrote(int(owner), file):
                raise BadInputError(f"process {owner} is writing this output already; wait for it or stop it")
        file.write_text(str(os.getpid()), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """What an earlier run found out and this one must keep to; empty at first."""
        file = self.path / FACTS
        return json.loads(file.read_text("utf-8")) if file.is_file() else {}

    def remember(self, facts: dict[str, Any]) -> None:
        partial = self.path / f"{FACTS}.partial"
        with self._writing():
            partial.write_text(json.dumps(facts), encoding="utf-8")
            partial.replace(self.path / FACTS)

    def finished(self, stateful: bool) -> int:
        """Whole segments to keep; with `stateful`, up to the last whose state was saved."""
        count = finished_segments(self.path)
        while stateful and count and not self._state(count - 1).is_file():
            count -= 1
        for file in self.path.glob("[0-9]*.*"):
            if int(file.stem) >= count:
                file.unlink()
        return count

    def frames(self, count: int) -> int:
        """Frames in the first `count` segments; the last one of a video may be short."""
        tables = [json.loads((self.path / f"{number:06d}.json").read_text("utf-8")) for number in range(count)]
        return sum(len(table) for table in tables)

    def save_state(self, segment: int, state: dict[str, np.ndarray]) -> None:
        """Keep what the segment after this one depends on; of older states only the last, in case this one is not
        followed by its segment's table."""
        partial = self._state(segment).with_suffix(".tmp")
        with self._writing():
            with partial.open("wb") as file:
                np.savez(file, **state)
            partial.replace(self._state(segment))
        self._state(segment - 2).unlink(missing_ok=True)

    def read_state(self, segment: int) -> dict[str, np.ndarray]:
        """The state after a segment; empty before the first."""
        if segment < 0:
            return {}
        with np.load(self._state(segment)) as saved:
            return {name: saved[name] for name in saved.files}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self.path, error) from None

    def _state(self, segment: int) -> Path:
        return self.path / STATE.format(segment)

    def release(self) -> None:
        """Leave the folder for a later run."""
        (self.path / LOCK).unlink(missing_ok=True)

    def remove(self) -> None:
        """The output is there; nothing is needed any more."""
        shutil.rmtree(self.path, ignore_errors=True)


def _wrote(pid: int, lock: Path) -> bool:
    """Whether this process may have written the lock: numbers come again, and one that began later did not."""
    try:
        return psutil.Process(pid).create_time() <= lock.stat().st_mtime + 1
    except psutil.NoSuchProcess:
        return False
