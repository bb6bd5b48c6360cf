"""Uploads: judged by their content behind the wall, kept under their hash."""

import hashlib
import os
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastapi import UploadFile

from src.artifacts.store import ArtifactStore
from src.core.addresses import VIDEO, stored_key
from src.core.durable import sync_folder
from src.core.errors import BadInputError, OutputError
from src.core.text import parse_json
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


class UploadedVideo:
    """An uploaded video on its way into the store:
    copied, then judged, then kept under its hash.
    """

    def __init__(self, files: ArtifactStore, upload: UploadFile) -> None:
        digest, size = hashlib.sha256(), 0
        while chunk := upload.file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        self.files, self.upload, self.size = files, upload, size
        self.name = f"{digest.hexdigest()}{VIDEO}"
        self._making = ExitStack()

    def copy(self) -> Path:
        """Write it where the store makes it, beside its final name. Raises OutputError."""
        self._final = self._making.enter_context(self.files.making(stored_key(self.name)))
        # the same video may come twice at once
        self.partial = self._final.with_suffix(f".{secrets.token_hex(4)}.partial")
        self.upload.file.seek(0)
        try:
            with self.partial.open("wb") as target:
                shutil.copyfileobj(self.upload.file, target, CHUNK)
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            self.drop()
            raise OutputError(f"the upload cannot be stored: {error.strerror}") from None
        return self.partial

    def keep(self) -> str:
        """Give it its final name, which is returned. What is there already is written again: one
        that was damaged is whole then, and one that is old is young, so that housekeeping leaves it
        until its job is stored. Raises OutputError.
        """
        try:
            self.partial.replace(self._final)
            sync_folder(self._final.parent)
        except OSError as error:
            raise OutputError(f"the upload cannot be stored: {error.strerror}") from None
        finally:
            self.drop()
        return self.name

    def drop(self) -> None:
        """Remove the copy, unless it was kept."""
        self.partial.unlink(missing_ok=True)
        self._making.close()


def parse_json_field(text: str, field: str) -> dict[str, Any]:
    """An object of a form's JSON field."""
    value = parse_json(text or "{}", field)
    if not isinstance(value, dict):
        raise BadInputError(f"{field} must be a JSON object")
    return value
