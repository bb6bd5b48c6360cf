"""The folder a run works in, beside its output: segments, and what else the next run needs to go
on.

`.NAME.KEY.partial/`, where KEY is of everything that decides the output's bytes. The same command
finds the folder again; a command with other settings has another one. It goes when the output is
there.
"""

from __future__ import annotations

import glob
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
from src.core.output_errors import output_error
from src.core.paths import beside
from src.media.segments import finished_segments

LOCK, FACTS, STATE = "pid", "facts.json", "state-{:06d}.npz"


def key_of(decides: dict[str, Any]) -> str:
    """Sixteen hex digits for everything that decides an output's bytes."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[
        :16
    ]


def left_by_a_run(target: Path) -> list[Path]:
    """Folders that runs work in, or were stopped in, for this output."""
    return list(target.parent.glob(f"{glob.escape(beside(target, '').name)}*.partial"))


class Checkpoint:
    """The folder of a target and of what decides its bytes. Raises OutputError where it cannot be
    made.
    """

    def __init__(self, target: Path, decides: dict[str, Any]) -> None:
        self.target = target
        self.path = beside(target, f"{key_of(decides)}.partial")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
        except OSError as error:
            raise output_error(target, error, "--output") from None

    def _lock(self) -> None:
        """One run at a time; the lock of a process that is gone does not count."""
        if owner := _in_use(self.path):
            raise BadInputError(
                f"process {owner} is writing this output already; wait for it or stop it"
            )
        (self.path / LOCK).write_text(str(os.getpid()), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """What an earlier run found out and this one must keep to; empty at first."""
        return _facts(self.path)

    def remember(self, facts: dict[str, Any]) -> None:
        partial = self.path / f"{FACTS}.partial"
        with self._writing():
            partial.write_text(json.dumps(facts), encoding="utf-8")
            partial.replace(self.path / FACTS)

    def sweep(self, source: list) -> None:
        """Remove what runs left that had the same target and source, as it was before the source
        was replaced.
        """
        for folder in left_by_a_run(self.target):
            left = _facts(folder).get("source")
            if (
                folder != self.path
                and left
                and left[0] == source[0]
                and left != source
                and not _in_use(folder)
            ):
                shutil.rmtree(folder, ignore_errors=True)

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
        tables = [
            json.loads((self.path / f"{number:06d}.json").read_text("utf-8"))
            for number in range(count)
        ]
        return sum(len(table) for table in tables)

    def save_state(self, segment: int, state: dict[str, np.ndarray]) -> None:
        """Keep what the segment after this one depends on; of older states only the last, in case
        this one is not followed by its segment's table.
        """
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
            raise output_error(self.path, error, "--output") from None

    def _state(self, segment: int) -> Path:
        return self.path / STATE.format(segment)

    def release(self) -> None:
        """Leave the folder for a later run."""
        (self.path / LOCK).unlink(missing_ok=True)

    def remove(self) -> None:
        """The output is there; nothing is needed any more."""
        shutil.rmtree(self.path, ignore_errors=True)


def _facts(folder: Path) -> dict[str, Any]:
    file = folder / FACTS
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _in_use(folder: Path) -> int | None:
    """The other process that writes in a folder."""
    file = folder / LOCK
    owner = file.read_text("utf-8").strip() if file.is_file() else ""
    return (
        int(owner)
        if owner.isdigit() and int(owner) != os.getpid() and _wrote(int(owner), file)
        else None
    )


def _wrote(pid: int, lock: Path) -> bool:
    """Whether this process may have written the lock: numbers come again, and one that began later
    did not.
    """
    try:
        return psutil.Process(pid).create_time() <= lock.stat().st_mtime + 1
    except psutil.NoSuchProcess:
        return False
