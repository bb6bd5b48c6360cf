"""Several processes, perhaps on several machines: whose disk is whose, and what only one has."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object


def local_count() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def sees_one_disk(accelerator: Accelerator, folder: Path) -> bool:
    """Whether a file that one process writes into `folder` is there for all: one machine, or
    shared storage. Every process takes part.
    """
    if accelerator.num_processes == 1:
        return True
    token = broadcast_object_list([uuid.uuid4().hex])[0]
    own = folder / f".{token}-{accelerator.process_index}"
    folder.mkdir(parents=True, exist_ok=True)
    own.touch()
    try:
        accelerator.wait_for_everyone()
        seen = len(list(folder.glob(f".{token}-*")))
        return all(count == accelerator.num_processes for count in gather_object([seen]))
    finally:
        accelerator.wait_for_everyone()
        own.unlink()


def newest_of_all(accelerator: Accelerator, state: dict[str, Any] | None) -> dict[str, Any] | None:
    """The state of the highest step that any process has, for all of them: that of a run lies on
    the disk of its first process alone. Every process takes part; None where none has one.
    """
    if accelerator.num_processes == 1:
        return state
    steps = gather_object([state["step"] if state else -1])
    if len(set(steps)) == 1:
        return state
    source = steps.index(max(steps))
    return broadcast_object_list([state], from_process=source)[0]
