"""The filter `watermark`: an id in the picture that is derived from what the clip was made by."""

import hashlib
import json

import numpy as np

from src.core.files import remembered, sha256_of
from src.core.plan import Plan
from src.engine.filters import GroupContext
from src.engine.manifest import Mark
from src.upscaling.job import UpscaleJob
from src.watermark.embed import mark
from src.watermark.keys import marking_key
from src.watermark.message import id_for, id_text

NAME = "watermark"


def mark_frames(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
    """A filter. Raises BadInputError where the key cannot be read."""
    key = marking_key(context.mark_key)
    return mark(frames, key.secret, id_for(key.secret, digest_of(context.plan)))


def mark_of(plan: Plan | UpscaleJob, wanted: str = "") -> Mark | None:
    """What the filter put into the picture, or None where it is not among the plan's. wanted: id of
    the key.
    """
    if NAME not in plan.filters:
        return None
    key = marking_key(wanted)
    return Mark(id=id_text(id_for(key.secret, digest_of(plan))), key=key.id)


def digest_of(plan: Plan | UpscaleJob) -> str:
    """SHA-256 of what decides the pictures: the same plan has the same id, whenever it is run."""
    return plan.digest() if isinstance(plan, Plan) else _digest_of_job(plan)


def _digest_of_job(job: UpscaleJob) -> str:
    """Of the video's bytes, wherever it lies, and of what was asked."""
    source = remembered(job.source, "sha256", lambda: sha256_of(job.source))
    told = job.decides(job.choice.hashes()) | {"source": source}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
