"""Tensors in files: a safetensors file that appears whole or not at all, what a disk that takes
none of it is told as, and how one is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.interrupts import interrupts_kept
from src.core.output_errors import output_error
from src.core.paths import beside


def write_tensors(
    tensors: Mapping[str, Any], target: Path, about: Mapping[str, str], flag: str
) -> Path:
    """about: what the file says of itself. flag: that the person knows the target by.

    Raises OutputError, also for a full disk; what was there before stays then.
    """
    from safetensors.torch import save_file

    with writing(target, flag):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = beside(target, f"{os.getpid()}.partial")  # others may write the same
        try:
            save_file(dict(tensors), partial, metadata=dict(about))
            partial.chmod(0o644)  # safetensors writes files that only their owner may read
            return partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def load_tensors(path: Path) -> dict[str, Any]:
    """All tensors of a safetensors file by key, on the CPU. Raises OSError, SafetensorError."""
    from safetensors.torch import load_file

    with interrupts_kept():
        return load_file(path)


@contextmanager
def writing(target: Path, flag: str) -> Iterator[None]:
    """What is written inside is the target, a file or a folder, that the person knows by `flag`.

    Raises OutputError for an error of the system, and for one of safetensors that tells of it:
    safetensors reports a full disk as an error of its own, in which the system's number stands as
    text.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise output_error(target, _system_error(error), flag) from None
    except OSError as error:
        raise output_error(target, error, flag) from None


def _system_error(error: Exception) -> OSError:
    """The system's error that a SafetensorError tells of.
    Raises it as it is where it tells none.
    """
    told = re.search(r"(\w[^:]*?) \(os error (\d+)\)", str(error))
    if told is None:
        raise error
    return OSError(int(told[2]), told[1])
