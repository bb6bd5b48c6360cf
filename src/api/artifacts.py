"""Finished files, from one folder and no other place."""

import re
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import FileResponse

from src.accounts.accounts import Account
from src.api.problems import ApiError, responses
from src.api.security import Reader, ServiceDep
from src.api.service import Service
from src.jobs.search import is_among
from src.worker.names import ATTEMPT

router = APIRouter(prefix="/artifacts", tags=["artifacts"])
TYPES = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".png": "image/png", ".jpg": "image/jpeg"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}")
FileName = Annotated[str, Path(description="A file's name, such as a job's `artifact`", max_length=255)]
Errors = responses(401, 403, 404, 422)


@router.get("/{filename}", summary="A finished clip", response_class=FileResponse, responses=Errors)
def artifact(
    service: ServiceDep,
    account: Reader,
    filename: FileName,
    if_none_match: Annotated[str, Header(description="An ETag: 304 where the file is still that one")] = "",
) -> Response:
    """Range requests (206, 416), `If-Range` and `If-None-Match` (304) are understood."""
    path = find_artifact(service, account, filename)
    headers = {"Cache-Control": "private, no-cache"}
    response = FileResponse(path, media_type=TYPES[path.suffix], headers=headers, stat_result=path.stat())
    tag = response.headers["etag"]
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return Response(status_code=304, headers=headers | {"ETag": tag}) if known & {tag, "*"} else response


@router.get("/{filename}/manifest", summary="How a clip was made", responses=Errors)
def manifest(service: ServiceDep, account: Reader, filename: FileName) -> Response:
    path = find_artifact(service, account, filename).with_suffix(".json")
    if not path.is_file() or path.is_symlink():
        raise ApiError(404, f"{filename} has no manifest")
    return FileResponse(path, media_type="application/json")


def find_artifact(service: Service, account: Account, filename: str) -> FilePath:
    """The file, if the account may have it. Files of no job (made by a command) are everybody's who may read."""
    path = service.folder / filename
    known = NAME.fullmatch(filename) and path.suffix in TYPES and path.is_file() and not path.is_symlink()
    if known and ATTEMPT.fullmatch(filename):
        job = service.store.of_artifact(filename)
        known = job is not None and is_among(service.visible_to(account), job.owner)
    if not known:
        raise ApiError(404, "there is no such artifact")
    return path
