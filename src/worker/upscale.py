"""Jobs that make a video of a video: the stream of src/upscaling/ under a worker's watch, what it
would refuse, and copies with the visible label.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from src.core.config import validate
from src.core.hardware import Hardware
from src.core.paths import home
from src.core.progress import CancelToken, Listener
from src.core.upscale_request import FIELDS, UpscaleRequest
from src.engine.enlarging import enlarging_job
from src.engine.house_rules import with_house_rules
from src.upscaling.job import UpscaleJob


def run_upscale(
    request: dict[str, Any], path: Path, hardware: Hardware, listener: Listener, cancel: CancelToken
) -> dict[str, Any]:
    """Enlarge the request's input to `path`; returns the result's JSON.

    request: fields of an `UpscaleRequest`, and what else the service keeps there. input: a path.
    """
    from src.artifacts.local import LocalStore
    from src.engine.publisher import Publisher

    publisher = Publisher(LocalStore(home()), hardware, listener, cancel)
    report = publisher.enlarge(_job(with_house_rules(request), path, hardware.device))
    return {
        "frames": report.frames, "width": report.width, "height": report.height,
        "lost": report.lost, "damaged": report.damaged, "seconds": {"upscale": report.seconds},
        "registered": report.registered,
    }  # fmt: skip


def run_label(clip: Path, path: Path, listener: Listener, cancel: CancelToken) -> dict[str, Any]:
    """Write a copy of the clip with the visible label to `path`, signed where the service signs;
    returns the result's JSON.
    """
    from src.engine.house_rules import signs
    from src.engine.labelled_copy import labelled_copy

    begin = time.perf_counter()
    made = labelled_copy(clip, path, True if signs() else None, listener, cancel)
    return {"frames": made.frames, "seconds": {"label": time.perf_counter() - begin},
            "registered": made.registered}  # fmt: skip


def check_upscale(request: dict[str, Any]) -> None:
    """Raise what `upscale` would raise before it computes, on any machine; reads the input's
    headers.
    """
    job = _job(request, Path(request["input"]).with_suffix(".enlarged.mp4"), "cpu")
    job.check()
    job.tracks()


def _job(request: dict[str, Any], path: Path, device: str) -> UpscaleJob:
    own = {name: value for name, value in request.items() if name in FIELDS}
    return enlarging_job(validate(own | {"output": path}, UpscaleRequest, "settings"), device)
