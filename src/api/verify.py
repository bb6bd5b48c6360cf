"""What a file says of itself in each layer, and whether it was changed: read behind the wall, kept
nowhere.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from src.accounts.accounts import Account
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.api.uploads import Video
from src.core.errors import BadInputError, MissingFileError
from src.core.register import Registered
from src.database import mark_rows
from src.trust.extra import is_here
from src.trust.settings import anchors
from src.verification.layers import explained, marks_among
from src.verification.register import recall
from src.watermark.keys import MarkKey, known_keys

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
    roots = await run_in_threadpool(_anchors)
    keys, known = await run_in_threadpool(_marks, service)
    asked = roots, keys, marks_among(known), any(each.fingerprint for each in known)
    kept = await run_in_threadpool(_receive, service, account, file)
    try:
        async with service.decoding.turn(account.id) as turn:
            check = turn.wall.verify
            found = await run_in_threadpool(check, kept.partial, *asked)
    finally:
        kept.drop()
    found = explained(found, known)
    return Verdict(**{name: found[name] for name in Verdict.model_fields})


def _marks(service: Service) -> tuple[Sequence[MarkKey], list[Registered]]:
    """The keys, and all that was registered: by jobs, and by commands of this home."""
    try:
        keys = known_keys()
    except (BadInputError, MissingFileError) as error:
        raise ApiError(503, f"this service's watermark keys cannot be read: {error}") from None
    with service.database.read() as connection:
        return keys, [*recall(), *mark_rows.all_rows(connection)]


def _receive(service: Service, account: Account, file: UploadFile) -> Video:
    """Admit, and copy the upload."""
    if not is_here():
        raise ApiError(503, "this service does not verify files; its operator can install that: "
                       "pip install -r requirements-trust.txt")  # fmt: skip
    service.admit_check(account)
    kept = Video(service.files, file)
    kept.copy()
    return kept


def _anchors() -> str | None:
    """A wrong setting is the operator's, not the client's."""
    try:
        return anchors()
    except BadInputError as error:
        raise ApiError(503, f"this service's roots cannot be read: {error}") from None
