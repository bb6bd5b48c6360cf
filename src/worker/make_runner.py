"""Which runner a worker has, by its name: the engine, or the fake."""

import math
import os
from pathlib import Path
from typing import Any

from src.artifacts.store import ArtifactStore
from src.core.errors import BadInputError
from src.worker.engine_runner import EngineRunner
from src.worker.runners import FakeRunner, JobRunner

NO_MODEL = {
    "name": "fake",
    "revision": None,
    "weights": "",
    "width": 0,
    "height": 0,
    "frames": 0,
    "fps": 0.0,
}


def _fake_seconds() -> float:
    text = os.environ.get("NEWSREEL_FAKE_SECONDS") or "0"
    try:
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    except ValueError:
        pass
    raise BadInputError(
        f"NEWSREEL_FAKE_SECONDS is {text!r}; it must be a number of seconds, such as 0.5"
    )


def _fake_clip() -> Path | None:
    text = os.environ.get("NEWSREEL_FAKE_CLIP")
    if text and not Path(text).is_file():
        raise BadInputError(f"NEWSREEL_FAKE_CLIP is {text!r}; it must be a video file")
    return Path(text) if text else None


def make_runner(
    name: str, device: str, files: ArtifactStore, gpus: int = 1
) -> tuple[JobRunner, dict[str, Any]]:
    """The runner called "engine" or "fake", and what it says about its device. files: where what
    jobs read lies. gpus: devices that a clip may take. Raises BadInputError.
    """
    if name == "fake":
        seconds = _fake_seconds()
        device = os.environ.get("NEWSREEL_FAKE_DEVICE") or "fake"
        info = {"device": device, "name": "fake", "pid": os.getpid(), "model": NO_MODEL}
        return FakeRunner(seconds, _fake_clip()), info
    if name != "engine":
        raise BadInputError(f"--maker is {name!r}; it must be engine or fake")
    from src.engine.warm import describe_model

    runner = EngineRunner(files, device, gpus)
    hardware = runner.hardware
    info = {
        "device": hardware.device,
        "name": hardware.name,
        "memory": hardware.memory,
        "pid": os.getpid(),
    }
    return runner, info | {
        "model": describe_model(device),
        "hardware": hardware.model_dump(mode="json"),
    }
