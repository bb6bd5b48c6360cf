"""A video that is enlarged, on the road of all clips: filters before encoding, finishers before
publication.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.artifacts.local import LocalStore
from src.core.durable import write_whole
from src.core.hardware import Hardware
from src.core.upscale_request import UpscaleRequest
from src.engine.enlarged_manifest import EnlargedManifest, of_enlarged, place_beside
from src.engine.filters import GroupContext
from src.engine.finisher import SIGNED
from src.engine.finishing import check_names, chosen_filters, filtered, finished, group_size
from src.engine.manifest import describe_clip, to_json
from src.engine.marking import mark_of
from src.engine.registering import fingerprint_for, write_down
from src.trust.signing import drop_stale_sidecar
from src.upscaling.ending import Ending
from src.upscaling.job import UpscaleJob
from src.upscaling.report import UpscaleReport
from src.upscaling.resolve import resolve_job


def enlarging_job(request: UpscaleRequest, device: str | None = None) -> UpscaleJob:
    """As `resolve_job`. Raises BadInputError too for a filter or finisher that there is not."""
    request = request.model_copy(update={"filters": chosen_filters(request)})
    check_names(request.filters, request.finishers)
    return resolve_job(request, device)


class Enlarging(Ending):
    """The filters and finishers of a job, and its publication."""

    def __init__(self, job: UpscaleJob, store: LocalStore, hardware: Hardware) -> None:
        self.job, self.store, self.hardware = job, store, hardware

    def group(self, frame_bytes: int) -> int:
        """See `Ending.group`."""
        return group_size(self.job.filters, frame_bytes)

    def frames(self, arrays: list[np.ndarray], first: int) -> list[np.ndarray]:
        """See `Ending.frames`; a frame that is shown again comes again as it was."""
        if not self.job.filters:
            return arrays
        return filtered([array.copy() for array in arrays], GroupContext(self.job, first))

    def publish(self, temporary: Path, target: Path, report: UpscaleReport) -> None:
        """See `Ending.publish`; the manifest is there first, so that no clip lacks one."""
        manifest = of_enlarged(self.job, self.hardware, describe_clip(temporary, target), report,
                               mark_of(self.job), fingerprint_for(self.job, temporary))  # fmt: skip
        made: EnlargedManifest = finished(
            self.job.finishers, temporary, target, manifest, self.job.source
        )
        report.sha256, report.manifest = made.clip.sha256, place_beside(target)
        write_whole(report.manifest, to_json(made))
        self.store.publish(temporary, target)
        if SIGNED not in self.job.finishers:
            drop_stale_sidecar(target)
        report.registered = write_down(made)
