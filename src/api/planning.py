"""Plan at submission: a job is stored only if a worker would take it,
by the worker's own checks.
"""

from typing import Any

from loguru import logger

from src.api.problems import ApiError
from src.api.recent import Recent
from src.artifacts.store import ArtifactStore
from src.catalog.spec import ModelSpec
from src.catalog.upscalers import find_upscaler
from src.core.addresses import known_key
from src.core.config import validate
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import CHECKPOINTS, REPOSITORY
from src.core.plan import Size
from src.core.request import Request
from src.core.upscale_request import UPSCALER
from src.jobs.holding import FORGOTTEN_S
from src.jobs.leases import LeaseStore
from src.jobs.rows import address_in
from src.media.videos import VideoFacts

SAME_S = (
    2.0  # what was found stays true for so long: requests that differ in wording alone share it
)
WORDING = {"prompt", "template", "set", "negative_prompt", "seed", "input_image"}
MOST_KNOWN = 256


class Planning:
    """Checks requests against the machines that workers told of, and reckons what they cost.

    most: frames of 720x480 that a job may take (`src/engine/reckoning.py`); 0: no limit.
    """

    def __init__(self, leases: LeaseStore, most: float) -> None:
        self.leases, self.most = leases, most
        self._known: dict[str, Recent[float]] = {}
        self._models: dict[str, Recent[list[ModelSpec]]] = {}
        self._machines = Recent(self._known_machines, SAME_S)

    def generate(self, request: Request, before: float = 0.0) -> float:
        """The cost of a clip. before: that of the clip that it goes on with, which is read and
        scored again. Raises what the worker would raise, and ApiError 422 beyond the limit.
        """
        key = request.model_dump_json(exclude=WORDING)
        if key not in self._known and len(self._known) > MOST_KNOWN:
            self._known.clear()
        found = self._known.setdefault(key, Recent(lambda: self._check(request), SAME_S))
        return self._within(before + found.get())

    def _check(self, request: Request) -> float:
        from src.engine.admission import check_generate

        return check_generate(_from_anywhere(request), self.machines())

    def models(self, request: Request) -> list[ModelSpec]:
        """What it may run on. Raises BadInputError where the model asked for is not there."""
        key = request.model_dump_json(include={"model", "mode", "profile"})
        if key not in self._models and len(self._models) > MOST_KNOWN:
            self._models.clear()
        found = self._models.setdefault(key, Recent(lambda: self._models_for(request), SAME_S))
        return found.get()

    def _models_for(self, request: Request) -> list[ModelSpec]:
        from src.engine.admission import models_for

        return models_for(_from_anywhere(request), self.machines())

    def upscale(self, facts: VideoFacts, asked: dict[str, Any]) -> float:
        """The cost of enlarging a video that was checked behind the wall. asked: fields of an
        `UpscaleRequest`.
        """
        from src.engine.reckoning import frames_of

        size = Size(width=facts.width, height=facts.height)
        return self.enlarging(frames_of(facts.frames, size), asked)

    def enlarging(self, frames: float, asked: dict[str, Any]) -> float:
        """The same of a video of so many frames of 720x480, on the fastest machine there is."""
        from src.engine.admission import USUAL_DEVICE
        from src.engine.reckoning import effort

        devices = {machine.device for machine in self.machines()} or {USUAL_DEVICE}
        upscaler, preset = asked.get("upscaler", UPSCALER), asked["preset"]
        name, scale = find_upscaler(upscaler).known_as(preset), int(asked["scale"])
        each = min(effort(name, scale, device, asked.get("refine")) for device in devices)
        return self._within(frames * scale**2 * each)

    def _within(self, cost: float) -> float:
        if self.most and cost > self.most:
            raise ApiError(
                422,
                f"this takes as much as {cost:,.0f} frames of 720x480, and a job may take "
                f"{self.most:,.0f}; "
                "ask for a smaller scale, fewer frames, or an upscaler that computes less",
            )  # fmt: skip
        return cost

    def machines(self) -> list[Hardware]:
        """Of the workers that tell something within their lease, as they told it; looked up every
        two seconds. Where none does, of those of the last day, so that a fleet that starts again
        refuses nothing and takes nothing that it could not make before. Empty where nobody is
        known: then only what no machine could make is refused.
        """
        return self._machines.get()

    def _known_machines(self) -> list[Hardware]:
        known = [each for each in self.leases.known_workers() if each["silent_s"] < FORGOTTEN_S]
        alive = [each for each in known if each["silent_s"] < self.leases.lease_s]
        told = [_hardware(worker) for worker in alive or known]
        return [each for each in told if each is not None]


def _hardware(worker: dict[str, Any]) -> Hardware | None:
    """None where it told of none, or as another version does: while a fleet is brought to a new
    version, workers of both run.
    """
    if not (told := worker["info"].get("hardware")):
        return None
    try:
        return validate(told, Hardware, f"worker {worker['worker']}")
    except BadInputError as error:
        logger.warning("{}; plans are made without this machine", error)
        return None


def _from_anywhere(request: Request) -> Request:
    """With full paths: workers are started in the repository, and the service perhaps elsewhere."""

    def full(path: str) -> str:
        return str(REPOSITORY / path) if path.startswith(f"{CHECKPOINTS.name}/") else path

    return request.model_copy(
        update={"model": full(request.model), "lora": tuple(map(full, request.lora))}
    )


def check_source(files: ArtifactStore, request: dict[str, Any]) -> None:
    """Raise ApiError 409 where the stored file that a job reads is gone: running it again would
    fail.
    """
    address = address_in(request)
    key = known_key(address)
    if address and (key is None or files.look(key) is None):
        raise ApiError(
            409, "the photograph or video of this job is not stored any more; submit it again"
        )
