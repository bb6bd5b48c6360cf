"""/v1/videos: make, look, list, delete, remix. Their bytes: src/api/openai/content.py."""

from typing import Annotated, Any, Literal, NoReturn

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from src.accounts.accounts import Account
from src.api.forms import GenerateForm
from src.api.generate import Key, submit
from src.api.openai.errors import VideoError
from src.api.openai.extending import same_source, source_of, submit_extension
from src.api.openai.sent import Sent, SentBody, take_photograph
from src.api.openai.source import completed, find_video, named_video, photograph_of
from src.api.openai.video import Video, VideoDeleted, VideoList, public_id, video_of
from src.api.openai.wishes import OWN_WORDING, form_of, naming_the_field, settings_asked
from src.api.security import Reader, ServiceDep, Submitter
from src.api.service import Service
from src.jobs.errors import WrongStateError
from src.jobs.model import REMIX_OF, Job, State
from src.jobs.search import JobFilter

router = APIRouter(prefix="/v1/videos", tags=["videos"])
VideoId = Annotated[str, Path(description="The id, with or without `video_`", max_length=100)]
Count = Annotated[
    int, Header(alias="x-stainless-retry-count", ge=0, description="The client's tries before")
]
STOPPING_S = 120.0
"""How long a deletion waits for a running job to end."""
SOONEST_MS, LATEST_MS = 500, 10_000


@router.post("", response_model=Video, summary="Make a clip")
async def create(
    service: ServiceDep, account: Submitter, sent: SentBody, key: Key = None,
    again: Count = 0,
) -> Response:  # fmt: skip
    """Answers at once, with the video as it will be. A retry by the client finds what its first
    try made.
    """
    async with service.same.turn((account.id, await run_in_threadpool(sent.digest))):
        return await _submit(service, account, sent, key, again > 0)


@router.get("", response_model=VideoList, summary="This key's videos, newest first")
def list_videos(
    service: ServiceDep,
    account: Reader,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> VideoList:
    seen = service.visible_to(account)
    last = find_video(service, account, after, param="after").id if after else None
    before, behind = (last, None) if order == "desc" else (None, last)
    wanted = JobFilter(seen, before=before, after=behind, kind="generate")
    found = service.store.find(wanted, limit + 1, oldest_first=order == "asc")
    data = [video_of(job, service) for job in found[:limit]]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return VideoList(data=data, first_id=ends[0], last_id=ends[1], has_more=len(found) > limit)


@router.post("/edits", response_model=Video, summary="Another clip of a video's photograph")
async def edit(
    service: ServiceDep, account: Submitter, sent: SentBody, key: Key = None,
    again: Count = 0,
) -> Response:  # fmt: skip
    """By id, `video[id]`, or by its file, which must be a clip of this service. The same as a
    remix.
    """
    source = await run_in_threadpool(named_video, service, account, sent)
    return await _remix(service, account, source, sent, key, again)


@router.post("/extensions", response_model=Video, summary="Go on from a video's last frame")
async def extend(
    service: ServiceDep, account: Submitter, sent: SentBody, key: Key = None,
    again: Count = 0,
) -> Response:  # fmt: skip
    """One file with both: the video's frames as they are, and new ones from its last. By id,
    `video[id]`, or by its file, which must be a clip of this service. `seconds` is of the new part.
    """
    source = await run_in_threadpool(named_video, service, account, sent)
    job = await run_in_threadpool(completed, service, account, source, "video")
    _check_wording(sent)
    base = {name: value for name, value in settings_asked(job).items() if name != "seed"}
    told = await run_in_threadpool(source_of, service, job)
    return await _extend(service, account, sent, key, again > 0, base, told)


@router.post("/characters", summary="Not offered: characters")
def create_character(account: Submitter) -> Response:
    _unsupported("there are no characters here; a clip is made from a photograph", None)


@router.get("/characters/{character_id}", summary="Not offered: characters")
def get_character(account: Reader, character_id: str) -> Response:
    _unsupported("there are no characters here; a clip is made from a photograph", None)


@router.get("/{video_id}", response_model=Video, summary="One video")
def retrieve(service: ServiceDep, account: Reader, video_id: VideoId) -> Response:
    """`openai-poll-after-ms` says when to look again."""
    job = find_video(service, account, video_id)
    headers = {} if job.state.final else {"openai-poll-after-ms": str(_pace(service, job))}
    return JSONResponse(jsonable_encoder(video_of(job, service)), headers=headers)


@router.delete("/{video_id}", response_model=VideoDeleted, summary="Stop and forget a video")
async def delete(service: ServiceDep, account: Submitter, video_id: VideoId) -> VideoDeleted:
    """Answers once a running job has ended and its files are gone."""
    job = await run_in_threadpool(find_video, service, account, video_id, True)
    if not job.state.final:
        await run_in_threadpool(_stop, service, job)
        job = await service.broadcaster.finished(job.id, STOPPING_S)
    if not job.state.final:
        raise VideoError(503, "the job is still stopping; delete it again", "still_running")
    await run_in_threadpool(service.forgetter.forget, job.id, account.id)
    return VideoDeleted(id=public_id(job.id))


@router.post("/{video_id}/remix", response_model=Video, summary="The same with another prompt")
async def remix(
    service: ServiceDep, account: Submitter, video_id: VideoId, sent: SentBody,
    key: Key = None, again: Count = 0,
) -> Response:  # fmt: skip
    """Photograph, seed and settings of the video, unless the body says otherwise."""
    return await _remix(service, account, video_id, sent, key, again)


async def _remix(
    service: Service, account: Account, video_id: str, sent: Sent, key: str | None, again: int
) -> Response:
    job = await run_in_threadpool(completed, service, account, video_id)
    _check_wording(sent)
    if job.request.get("extend"):
        told = await run_in_threadpool(same_source, service, job) | {REMIX_OF: job.id}
        return await _extend(
            service, account, sent, key or None, again > 0, settings_asked(job), told
        )
    async with service.same.turn((account.id, job.id, await run_in_threadpool(sent.digest))):
        return await _submit(service, account, sent, key or None, again > 0, job)


def _check_wording(sent: Sent) -> None:
    if not OWN_WORDING & set(sent.texts):
        raise VideoError(
            400, "prompt is required: what is to be different", "missing_required_parameter",
            "prompt",
        )  # fmt: skip


async def _extend(
    service: Service, account: Account, sent: Sent, key: str | None, resent: bool,
    base: dict[str, Any], source: dict[str, Any],
) -> Response:  # fmt: skip
    """base: settings of the job that the client named. source: the clip that is gone on with."""
    digest = await run_in_threadpool(sent.digest)
    async with service.same.turn((account.id, source["input_image"], digest)):
        form = await run_in_threadpool(form_of, sent, service, base)

        def told(job: Job) -> Response:
            return JSONResponse(jsonable_encoder(video_of(job, service)))

        with naming_the_field():
            return await run_in_threadpool(
                submit_extension, service, account, source, form, key, resent, told
            )


async def _submit(
    service: Service, account: Account, sent: Sent, key: str | None, resent: bool,
    source: Job | None = None,
) -> Response:  # fmt: skip
    """Store the job, from the photograph that was sent or the source's; answers the video."""
    base = settings_asked(source) if source else {}
    if source is None:
        image = await run_in_threadpool(take_photograph, sent)
    else:
        image = await run_in_threadpool(photograph_of, service, source)
    form: GenerateForm = await run_in_threadpool(form_of, sent, service, base)

    def told(job: Job) -> Response:
        return JSONResponse(jsonable_encoder(video_of(job, service)))

    with naming_the_field():
        return await submit(
            service, account, image, form, key, told, resent, source.id if source else None
        )


def _stop(service: Service, job: Job) -> None:
    """Ask it to stop; one that has ended meanwhile is as good."""
    try:
        service.store.cancel(job.id)
    except WrongStateError:
        if not service.store.get(job.id).state.final:
            raise


def _pace(service: Service, job: Job) -> int:
    """Milliseconds until it is worth looking again: a twentieth of what is left."""
    ahead = service.outlook.of(job)
    left = ahead.seconds if ahead and ahead.seconds is not None else None
    wait = 1000 if left is None else round(left * 50)
    return min(max(wait, SOONEST_MS), LATEST_MS if job.state is State.PENDING else LATEST_MS // 2)


def _unsupported(sentence: str, param: str | None) -> NoReturn:
    raise VideoError(400, sentence, "unsupported", param)
