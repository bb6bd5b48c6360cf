"""Writing tensors: a safetensors file that appears whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core.paths import beside
from src.media.writer import output_error


def write_tensors(
    tensors: Mapping[str, Any], target: Path, about: Mapping[str, str], flag: str
) -> Path:
    """about: what the file says of itself. flag: that the person knows the target by.

    Raises OutputError, also for a full disk: safetensors reports that as an error of its own, in
    which the system's number stands as text.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = beside(target, "partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), partial, metadata=dict(about))
        partial.chmod(0o644)  # safetensors writes files that only their owner may read
        return partial.replace(target)
    except SafetensorError as error:
        raise output_error(target, _system_error(error), flag) from None
    except OSError as error:
        raise output_error(target, error, flag) from None
    finally:
        partial.unlink(missing_ok=True)


def _system_error(error: Exception) -> OSError:
    """The system's error that a SafetensorError tells of.
    Raises it as it is where it tells none.
    """
    told = re.search(r"(\w[^:]*?) \(os error (\d+)\)", str(error))
    if told is None:
        raise error
    return OSError(int(told[2]), told[1])
