"""Which job an id means, and the photograph that it was made from."""

import hashlib
import io
import re
from contextlib import suppress

from fastapi import UploadFile

from src.accounts.accounts import Account
from src.api.openai.errors import VideoError
from src.api.openai.sent import Sent
from src.api.service import Service
from src.core.addresses import known_key
from src.core.errors import MissingFileError
from src.jobs.errors import UnknownJobError
from src.jobs.model import Job, State
from src.jobs.rows import address_in

JOB_ID = re.compile(r"[0-9a-f]{21}")


def find_video(
    service: Service, account: Account, video_id: str, to_change: bool = False,
    param: str = "video_id",
) -> Job:  # fmt: skip
    """The job of a clip that the account may see, or change. Raises VideoError 404, of another
    parameter 400, and ApiError 403 for a colleague's.
    """
    job_id = video_id.removeprefix("video_")
    try:
        if not JOB_ID.fullmatch(job_id):
            raise UnknownJobError(job_id)
        job = (service.own if to_change else service.seen)(account, job_id)
        if job.kind != "generate":
            raise UnknownJobError(job_id)
        return job
    except UnknownJobError:
        status = 404 if param == "video_id" else 400
        raise VideoError(
            status, f"there is no video {video_id[:40]!r}", "video_not_found", param
        ) from None


def named_video(service: Service, account: Account, sent: Sent) -> str:
    """The id of the video that a body names: by `video[id]`, or by its very file, as clients send
    it. Raises VideoError where it names none that the account may see.
    """
    if told := sent.take("video[id]") or sent.take("video"):
        return told
    file = sent.files.pop("video", None)
    if file is None:
        raise VideoError(400, "video is required", "missing_required_parameter", "video")
    for job_id in service.index.made_by(hashlib.file_digest(file.file, "sha256").hexdigest()):
        with suppress(VideoError):
            return find_video(service, account, job_id, param="video").id
    sentence = "this file is no clip of this service that you may see; give the id as video[id]"
    raise VideoError(400, sentence, "video_not_found", "video")


def completed(service: Service, account: Account, video_id: str, param: str = "video_id") -> Job:
    """The same, once its clip is there. Raises VideoError 400 before, and where there is none."""
    job = find_video(service, account, video_id, param=param)
    if job.state in (State.PENDING, State.PROCESSING):
        raise VideoError(400, "the video is not ready yet", "video_not_ready", param)
    if job.state is not State.COMPLETED:
        raise VideoError(400, "the video failed: there is no clip", "video_failed", param)
    return job


def photograph_of(service: Service, job: Job) -> UploadFile:
    """The stored photograph of a job, as if it were sent again. Raises VideoError where it is
    gone.
    """
    key = known_key(address_in(job.request))
    try:
        if key is None:
            raise MissingFileError("it has none")
        with service.files.open(key) as stream:
            return UploadFile(io.BytesIO(stream.read()), filename="upload")
    except MissingFileError:
        sentence = "the photograph of this video is not stored any more; create a new one"
        raise VideoError(400, sentence, "photograph_gone", "video_id") from None
