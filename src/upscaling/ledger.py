"""What a folder's batch has finished already: the same command does none of it again.

`.newsreel.json` in the output folder says of each output which job made it and the state it was
left in.
"""

from __future__ import annotations

import json
from pathlib import Path

from src.core.durable import write_whole
from src.core.errors import BadInputError
from src.core.paths import exists
from src.upscaling.checkpoint import key_of, left_by_a_run
from src.upscaling.job import UpscaleJob

NAME = ".newsreel.json"
DAMAGED = "damaged"
"""In place of a key: an output that holds what came before a damage is ours, but not finished."""


def check_replaceable(target: Path, overwrite: bool) -> None:
    """Raise BadInputError where an output is there that no record says is ours, unless it may be
    replaced.
    """
    if overwrite or not exists(target) or Ledger(target.parent).knows(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if left_by_a_run(target) or _is_manifest(target.with_suffix(".json")):
        return
    raise BadInputError(
        f"{target} is there already, and not made by this command; --overwrite replaces it"
    )


def _is_manifest(path: Path) -> bool:
    """Whether a file says of the clip beside it how we made it."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and {"plan_sha256", "clip"} <= said.keys()


class Ledger:
    """The record of one output folder, which need not exist yet. Read anew each time: two batches
    may share one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def holds(self, target: Path, key: str) -> bool:
        """Whether the output is there, made by the job of this key and untouched since."""
        return target.exists() and self._known().get(target.name) == [key, *_state(target)]

    def knows(self, target: Path) -> bool:
        """Whether the output is ours, and nobody has changed or replaced it since."""
        said = self._known().get(target.name)
        return isinstance(said, list) and said[1:] == _state(target)

    def add(self, target: Path, key: str) -> None:
        """The output is whole. Raises OutputError where that cannot be written down."""
        known = self._known() | {target.name: [key, *_state(target)]}
        write_whole(self.path, (json.dumps(known, indent=1) + "\n").encode())

    def _known(self) -> dict[str, list]:
        """Entries by the output's name; a record that cannot be read costs time, not videos."""
        try:
            known = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def job_key(job: UpscaleJob) -> str:
    """What decides the output's bytes and what is done with it; taken before the run, so that a
    source replaced meanwhile is done again.

    Raises as `UpscaleJob.check` does.
    """
    job.check()
    also = {"finishers": list(job.finishers)} if job.finishers else {}
    return key_of(job.decides(job.choice.hashes()) | also)


def _state(target: Path) -> list[int]:
    """Number of files, bytes and newest time of an output, which is a folder for pictures."""
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    stats = [file.stat() for file in files]
    return [
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]
