"""Uploads: judged by their content behind the wall, kept under their hash."""

import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from fastapi import UploadFile

from src.artifacts.store import LocalStore, is_whole
from src.core.durable import make_folder, sync_folder
from src.core.errors import BadInputError, OutputError
from src.core.paths import home
from src.media.images import MAX_BYTES

CHUNK = 1 << 20


def read_upload(upload: UploadFile) -> bytes:
    """The photograph's bytes. Raises BadInputError where there are none, or too many."""
    data = upload.file.read(MAX_BYTES + 1)
    if not data:
        raise BadInputError("image is empty; send a photograph")
    if len(data) > MAX_BYTES:
        raise BadInputError(f"image has more than {MAX_BYTES:,} bytes")
    return data


def keep_photograph(data: bytes, digest: str, suffix: str) -> Path:
    """Keep a photograph that was checked; it has reached the disk then."""
    return LocalStore(home()).keep_photograph(data, digest, suffix)


class Video:
    """An uploaded video on its way into `uploads/`: copied, then judged, then kept under its hash.
    """

    def __init__(self, upload: UploadFile) -> None:
        digest, size = hashlib.sha256(), 0
        while chunk := upload.file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        self.upload, self.size, self.sha256 = upload, size, digest.hexdigest()
        self.path = home() / "uploads" / f"{self.sha256}.video"
        # the same video may come twice at once
        self.partial = self.path.with_suffix(f".{secrets.token_hex(4)}.partial")

    def copy(self) -> Path:
        """Write it beside its final name. Raises OutputError."""
        self.upload.file.seek(0)
        try:
            make_folder(self.path.parent)
            with self.partial.open("wb") as target:
                shutil.copyfileobj(self.upload.file, target, CHUNK)
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            self.drop()
            raise OutputError(f"the upload cannot be stored: {error.strerror}") from None
        return self.partial

    def keep(self) -> Path:
        """Give it its final name, unless it is there already and whole. Raises OutputError."""
        try:
            if is_whole(self.path, self.size, self.sha256):
                self.path.touch()  # young again: housekeeping puts old ones aside that no job names
            else:
                self.partial.replace(self.path)
                sync_folder(self.path.parent)
        except OSError as error:
            raise OutputError(f"the upload cannot be stored: {error.strerror}") from None
        finally:
            self.drop()
        return self.path

    def drop(self) -> None:
        """Remove the copy."""
        self.partial.unlink(missing_ok=True)


def parse_json_field(text: str, field: str) -> dict[str, Any]:
    """An object of a form's JSON field."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInputError(f"{field} must be a JSON object")
    return value
