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
from src.engine.finishing import FrameContext, check_names, filtered, finished
from src.engine.manifest import describe_clip, to_json
from src.upscaling.ending import Ending
from src.upscaling.job import UpscaleJob
from src.upscaling.report import UpscaleReport
from src.upscaling.resolve import resolve_job


def enlarging_job(request: UpscaleRequest, device: str | None = None) -> UpscaleJob:
    """As `resolve_job`. Raises BadInputError too for a filter or finisher that there is not."""
    check_names(request.filters, request.finishers)
    return resolve_job(request, device)


class Enlarging(Ending):
    """The filters and finishers of a job, and its publication."""

    def __init__(self, job: UpscaleJob, store: LocalStore, hardware: Hardware) -> None:
        self.job, self.store, self.hardware = job, store, hardware

    def frame(self, array: np.ndarray, index: int) -> np.ndarray:
        """See `Ending.frame`; a frame that is shown again comes again as it was, with another
        index.
        """
        return filtered(array.copy(), FrameContext(self.job, index)) if self.job.filters else array

    def publish(self, temporary: Path, target: Path, report: UpscaleReport) -> None:
        """See `Ending.publish`; the manifest is there first, so that no clip lacks one."""
        manifest = of_enlarged(self.job, self.hardware, describe_clip(temporary, target), report)
        made: EnlargedManifest = finished(
            self.job.finishers, temporary, target, manifest, self.job.source
        )
        report.sha256, report.manifest = made.clip.sha256, place_beside(target)
        write_whole(report.manifest, to_json(made))
        self.store.publish(temporary, target)
