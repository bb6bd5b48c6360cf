"""Finished files: what a row names, and what commands made in the home's folder."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.api.serving import serve
from src.artifacts.index import ArtifactRow
from src.core.addresses import clip_key, manifest_key
from src.jobs.search import is_among
from src.worker.names import is_attempt

router = APIRouter(prefix="/artifacts", tags=["artifacts"])
TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".png": "image/png", ".jpg": "image/jpeg"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}")
FileName = Annotated[
    str, Path(description="A file's name, such as a job's `artifact`", max_length=255)
]
Errors = responses(401, 403, 404, 422)


@router.get("/{filename}", summary="A finished clip", response_class=FileResponse, responses=Errors)
def artifact(
    service: ServiceDep,
    account: Reader,
    filename: FileName,
    if_none_match: Annotated[
        str, Header(description="An ETag: 304 where the file is still that one")
    ] = "",
) -> Response:
    """Range requests (206, 416), `If-Range` and `If-None-Match` (304) are understood."""
    key, version = find_artifact(service, account, filename)
    etags = frozenset(each.strip().removeprefix("W/") for each in if_none_match.split(","))
    kind = TYPES[PurePosixPath(key).suffix]
    return service.releasing.deliver(account, key, version, kind, etags=etags)


@router.get("/{filename}/manifest", summary="How a clip was made", responses=Errors)
def manifest(service: ServiceDep, account: Reader, filename: FileName) -> Response:
    key = manifest_key(find_artifact(service, account, filename)[0])
    found = service.index.find(key)
    version = found[0].version if found else None
    if service.files.look(key, version) is None:
        raise ApiError(404, f"{filename} has no manifest")
    return serve(service.files, key, "application/json", version=version)


def find_artifact(service: Service, account: Account, filename: str) -> tuple[str, str | None]:
    """The file's key, if the account may have it, and the version that was published. Files of no
    job (made by a command) are everybody's who may read.
    """
    key = clip_key(filename)
    known = NAME.fullmatch(filename) and PurePosixPath(key).suffix in TYPES
    found = service.index.find(key) if known else None
    version = found[0].version if found else None
    may_have = known and _may_have(service, account, key, found)
    if not may_have or service.files.look(key, version) is None:
        raise ApiError(404, "there is no such artifact")
    return key, version


def _may_have(
    service: Service, account: Account, key: str, found: tuple[ArtifactRow, str | None] | None
) -> bool:
    """By the row. One of a command may have none yet."""
    if found is None or found[0].job is None:
        return not is_attempt(key)
    owner = found[1]
    return owner is not None and is_among(service.visible_to(account), owner)
