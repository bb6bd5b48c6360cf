"""The bytes of a video: the clip, its first frame, a contact sheet."""

import io
from functools import partial
from typing import Annotated, Literal

from fastapi import Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.artifacts import find_artifact
from src.api.openai.errors import VideoError
from src.api.openai.source import completed
from src.api.openai.videos import VideoId, router
from src.api.pictures import KEPT
from src.api.problems import ApiError
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.api.serving import published_path, serve
from src.artifacts.store import ArtifactStore
from src.core.errors import BadInputError
from src.jobs.model import Job
from src.worker.names import picture_key
from src.worker.wall import Wall

Variant = Literal["video", "thumbnail", "spritesheet"]


@router.get("/{video_id}/content", summary="A video's bytes", response_class=FileResponse)
async def content(
    service: ServiceDep, account: Reader, video_id: VideoId,
    variant: Annotated[Variant, Query(description="What of it")] = "video",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:  # fmt: skip
    """The clip (MP4, ranges are understood), its first frame, or twelve frames of it on one sheet
    (JPEG, at most 960 pixels a side).
    """
    job = await run_in_threadpool(completed, service, account, video_id)
    key, version = await run_in_threadpool(_clip, service, account, job)
    etags = frozenset(each.strip().removeprefix("W/") for each in if_none_match.split(","))
    if variant == "video":
        return await run_in_threadpool(
            service.releasing.deliver, account, key, version, "video/mp4", f"{job.id}.mp4", etags
        )
    made = await _picture(service, account, job, (key, version), variant)
    await run_in_threadpool(service.releasing.note_look, account, key)
    told = await run_in_threadpool(service.releasing.picture_headers, job.artifact, KEPT)
    etags = etags if told["headers"] is KEPT else frozenset()
    return await run_in_threadpool(
        partial(serve, service.files, made, "image/jpeg", etags=etags, **told)
    )


def _clip(service: Service, account: Account, job: Job) -> tuple[str, str | None]:
    try:
        return find_artifact(service, account, str(job.artifact))
    except ApiError:
        raise VideoError(
            404, "the clip of this video is not stored any more", "video_gone", "video_id"
        ) from None


async def _picture(
    service: Service, account: Account, job: Job, clip: tuple[str, str | None], variant: Variant
) -> str:
    """The key of a picture, which is made on the first call and goes with the job. clip: key and
    version that was published.
    """
    key = picture_key(job, variant)
    if await run_in_threadpool(service.files.look, key) is None:
        async with service.decoding.turn(account.id) as turn:
            await run_in_threadpool(_make, turn.wall, service.files, clip, key, variant)
    return key


def _make(
    wall: Wall, files: ArtifactStore, clip: tuple[str, str | None], key: str, variant: Variant
) -> None:
    try:
        with published_path(files, *clip) as path:
            read = wall.first_frame if variant == "thumbnail" else wall.contact_sheet
            files.put(key, io.BytesIO(read(path)), durable=False)
    except BadInputError as error:
        raise VideoError(
            404, f"there is no {variant} of this video: {error}", "no_picture", "variant"
        ) from None
