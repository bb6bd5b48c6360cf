"""What a client sent, as multipart or as JSON, in one form: texts by name, and files."""

import base64
import binascii
import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile as SentFile

from src.api.openai.errors import VideoError
from src.media.images import MAX_BYTES

REFERENCE = "input_reference"
IMAGE_URL, FILE_ID = f"{REFERENCE}[image_url]", f"{REFERENCE}[file_id]"
LARGEST = MAX_BYTES * 4 // 3 + 1000
"""Bytes of a text: a photograph as a data: URL."""
MOST_FIELDS = 100


@dataclass
class Sent:
    """A body. texts: each name with its values, as `set[city]`; files by name."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)

    def add(self, name: str, value: str) -> None:
        self.texts.setdefault(name, []).append(value)

    def take(self, name: str) -> str | None:
        """The last value of a name, which is taken out; None where it is empty or missing."""
        return self.texts.pop(name, [""])[-1] or None

    def digest(self) -> str:
        """SHA-256 of everything that was sent."""
        found = hashlib.sha256(json.dumps(self.texts, sort_keys=True).encode())
        for name in sorted(self.files):
            found.update(name.encode("utf-8", "backslashreplace"))
            found.update(hashlib.file_digest(self.files[name].file, "sha256").digest())
            self.files[name].file.seek(0)
        return found.hexdigest()


async def _read(request: Request) -> AsyncIterator[Sent]:
    """Old clients send JSON where there is no file, new ones always a form."""
    if "json" in request.headers.get("content-type", ""):
        yield await run_in_threadpool(_of_json, await request.body())
        return
    async with request.form(max_files=4, max_fields=MOST_FIELDS, max_part_size=LARGEST) as form:
        sent = Sent()
        for name, value in form.multi_items():
            if isinstance(value, SentFile):
                sent.files[name] = value  # type: ignore[assignment]
            else:
                sent.add(name, value)
        yield sent


SentBody = Annotated[Sent, Depends(_read)]


def _of_json(body: bytes) -> Sent:
    try:
        values = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or len(values) > MOST_FIELDS:
        raise VideoError(400, 'send a JSON object, such as {"prompt": "..."}', "invalid_json")
    sent = Sent()
    for name, value in values.items():
        _flatten(sent, name, value)
    return sent


def _flatten(sent: Sent, name: str, value: Any) -> None:
    """{"set": {"city": "Lyon"}} as set[city]; lists as name[] repeated."""
    if isinstance(value, dict):
        for key, each in value.items():
            sent.add(f"{name}[{key}]", _as_text(each))
    elif isinstance(value, list):
        for each in value:
            sent.add(f"{name}[]", _as_text(each))
    elif value is not None:
        sent.add(name, _as_text(value))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def take_photograph(sent: Sent) -> UploadFile:
    """The photograph: a file, or a data: URL. Raises VideoError naming input_reference."""
    url, file_id = sent.take(IMAGE_URL) or sent.take(REFERENCE), sent.take(FILE_ID)
    if REFERENCE in sent.files:
        return sent.files.pop(REFERENCE)
    if file_id is not None:
        raise _refused("file_id is not taken: no files are kept here; send the file itself")
    if url is None:
        raise _refused(
            "input_reference is required: the photograph that the clip is made from",
            "missing_required_parameter",
        )
    return UploadFile(io.BytesIO(_of_url(url)), filename="upload")


def _of_url(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and comma):
        raise _refused(
            "only data: URLs are taken, data:image/jpeg;base64,...: this service fetches nothing; "
            "send the file itself"
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _refused("the data: URL does not hold base64") from None


def _refused(sentence: str, code: str = "unsupported") -> VideoError:
    return VideoError(400, sentence, code, REFERENCE)
