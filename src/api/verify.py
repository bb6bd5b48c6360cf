"""What a file says of itself in each layer, and whether it was changed: read behind the wall, kept
nowhere.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from src.accounts.accounts import Account
from src.api.problems import ApiError, responses
from src.api.register import ServiceRegister
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.api.serving import published_path
from src.api.uploads import UploadedVideo
from src.core.errors import BadInputError, MissingFileError
from src.trust.extra import is_here
from src.trust.settings import anchors
from src.verification.explaining import explained
from src.watermark.keys import MarkKey, known_keys
from src.worker.wall import Wall

router = APIRouter(tags=["verify"])


class Verdict(BaseModel):
    """changed: whether a layer contradicts the file. layers: by name (c2pa, watermark,
    fingerprint), each with found (null: not looked for) and sentence.
    """

    changed: bool
    sentence: str
    layers: dict[str, dict[str, Any]]


@router.post(
    "/verify", response_model=Verdict, summary="What a file says of itself, and whether it holds",
    responses=responses(400, 401, 403, 413, 422, 429, 503, 507),
)  # fmt: skip
async def verify(
    service: ServiceDep,
    account: Reader,
    file: Annotated[UploadFile, File(description="A clip, or a photograph")],
) -> Verdict:
    return await verified(service, account, file)


async def verified(service: Service, account: Account, file: UploadFile) -> Verdict:
    """What an upload says of itself; noted in the audit log, by its hash."""
    question = await run_in_threadpool(_question, service, account)
    kept = await run_in_threadpool(_receive, service, account, file)
    try:
        found = await _asked(service, account, kept.partial, question)
    finally:
        kept.drop()
    sha256 = kept.name.partition(".")[0]
    await run_in_threadpool(service.releasing.recording.verified, account, sha256, found)
    return Verdict(**{name: found[name] for name in Verdict.model_fields})


async def stored_verdict(
    service: Service, account: Account, key: str, version: str | None
) -> Verdict | None:
    """The same of a stored clip, for pages; None where verification is not installed here. Raises
    MissingFileError, and BadInputError for what no reader gets through.
    """
    if not is_here():
        return None
    question = await run_in_threadpool(_question, service, account)
    with ExitStack() as lent:
        path = await run_in_threadpool(
            lent.enter_context, published_path(service.files, key, version)
        )
        found = await _asked(service, account, path, question)
    return Verdict(**{name: found[name] for name in Verdict.model_fields})


@dataclass(frozen=True)
class _Question:
    """What every file is held against: roots, keys of marks, and what was registered, by jobs and
    by commands of this home.
    """

    roots: str | None
    keys: Sequence[MarkKey]
    known: ServiceRegister


def _question(service: Service, account: Account) -> _Question:
    try:
        keys = known_keys()
    except (BadInputError, MissingFileError) as error:
        raise ApiError(503, f"this service's watermark keys cannot be read: {error}") from None
    seen_by = service.visible_to(account)

    def sees(job: str) -> bool:
        return seen_by is None or (bool(job) and bool(_owner(service, job) in seen_by))

    return _Question(_anchors(), keys, ServiceRegister(service.database, sees))


def _owner(service: Service, job: str) -> str | None:
    found = service.store.many([job]).get(job)
    return found.owner if found else None


async def _asked(
    service: Service, account: Account, path: Path, question: _Question
) -> dict[str, Any]:
    """Read behind the wall, in this key's turn."""
    async with service.decoding.turn(account.id) as turn:
        return await run_in_threadpool(_read, turn.wall, path, question)


def _read(wall: Wall, path: Path, question: _Question) -> dict[str, Any]:
    known = question.known
    marks = known.marks([key.id for key in question.keys])
    found = wall.verify(path, question.roots, question.keys, marks, known.has_prints())
    return explained(found, known)


def _receive(service: Service, account: Account, file: UploadFile) -> UploadedVideo:
    """Admit, and copy the upload."""
    if not is_here():
        raise ApiError(503, "this service does not verify files; its operator can install that: "
                       "pip install -r requirements-trust.txt")  # fmt: skip
    service.admit_check(account)
    kept = UploadedVideo(service.files, file)
    kept.copy()
    return kept


def _anchors() -> str | None:
    """A wrong setting is the operator's, not the client's."""
    try:
        return anchors()
    except BadInputError as error:
        raise ApiError(503, f"this service's roots cannot be read: {error}") from None
