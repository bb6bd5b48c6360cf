"""The filter `watermark`: an id in the picture that is derived from what the clip was made by."""

import hashlib
import json
from pathlib import Path

import numpy as np

from src.core.files import remembered, sha256_of
from src.core.plan import Plan
from src.engine.filters import MARKED, GroupContext
from src.engine.manifest import Mark
from src.upscaling.job import UpscaleJob
from src.verification.layers import read_mark
from src.verification.register import HomeRegister
from src.watermark.embed import embed_mark
from src.watermark.keys import MarkKey, known_keys, marking_key
from src.watermark.message import id_for, id_text


def mark_frames(frames: list[np.ndarray], context: GroupContext) -> list[np.ndarray]:
    """A filter. Raises BadInputError where the key cannot be read."""
    key, number = _chosen(context.plan, context.mark_key)
    return embed_mark(frames, key.secret, number)


def mark_of(plan: Plan | UpscaleJob, wanted: str = "") -> Mark | None:
    """What the filter put into the picture, or None where it is not among the plan's. wanted: id of
    the key.
    """
    if MARKED not in plan.filters:
        return None
    key, number = _chosen(plan, wanted)
    return Mark(id=id_text(number), key=key.id)


def _chosen(plan: Plan | UpscaleJob, wanted: str) -> tuple[MarkKey, int]:
    """Key and id. A video that carries a mark of ours keeps it when it is enlarged: it is put in
    once more, for two would take the same places, and the register says by it what the video was.
    """
    found = mark_in(plan.source) if isinstance(plan, UpscaleJob) else None
    key = marking_key(found.key if found else wanted)
    return key, int(found.id, 16) if found else id_for(key.secret, pictures_digest(plan))


def mark_in(video: Path) -> Mark | None:
    """The mark that the pictures of a video carry, by the keys and the register of this home; asked
    once for each state of the file. Raises BadInputError where it cannot be read.
    """
    return remembered(video, "mark", lambda: _read(video))


def _read(video: Path) -> Mark | None:
    keys = known_keys()
    if not keys:
        return None
    marks = HomeRegister().marks([key.id for key in keys])
    found = read_mark(video, keys, marks)
    return Mark(id=found.id, key=found.key) if found else None


def pictures_digest(plan: Plan | UpscaleJob) -> str:
    """SHA-256 of what decides the pictures: the same plan has the same id, whenever it is run."""
    return plan.digest() if isinstance(plan, Plan) else _digest_of_job(plan)


def _digest_of_job(job: UpscaleJob) -> str:
    """Of the video's bytes, wherever it lies, and of what was asked."""
    source = remembered(job.source, "sha256", lambda: sha256_of(job.source))
    told = job.decides(job.choice.hashes()) | {"source": source}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
