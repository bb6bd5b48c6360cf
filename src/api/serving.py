"""Files of the artifact store as answers."""

import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import anyio
from fastapi import Response
from fastapi.responses import FileResponse, RedirectResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from src.api.problems import problem
from src.artifacts.store import CHUNK, ArtifactStore
from src.core.addresses import name_of
from src.core.errors import MissingFileError

LINK_S = 60
"""How long an address outside the service holds."""


def serve(
    files: ArtifactStore, key: str, media_type: str, headers: dict[str, str] | None = None,
    filename: str | None = None, etags: frozenset[str] = frozenset(), version: str | None = None,
    inside: bool = False,
) -> Response:  # fmt: skip
    """The file, or 307 to where the client may fetch it. Range requests are understood. etags: what
    the client has; 304 where it is still that. version: that was published. inside: from here
    alone, so that our headers are the ones that hold, and shown rather than saved. Raises
    MissingFileError.
    """
    if not inside and (url := files.url(key, LINK_S, version)) is not None:
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    answer = StoredResponse(
        files, key, version, media_type=media_type, headers=headers, filename=filename,
        content_disposition_type="inline" if inside else "attachment",
    )  # fmt: skip
    tag = answer.headers["etag"]
    if not etags & {tag, "*"}:
        return answer
    return Response(status_code=304, headers=(headers or {}) | {"ETag": tag})


@contextmanager
def published_path(files: ArtifactStore, key: str, version: str | None) -> Iterator[Path]:
    """The file for libraries that take paths; of a store with versions a copy of this one. Raises
    MissingFileError.
    """
    if version is None:
        with files.local(key) as path:
            yield path
        return
    with TemporaryDirectory(prefix="newsreel-") as folder, files.open(key, version) as data:
        path = Path(folder) / name_of(key)
        with path.open("wb") as copy:
            shutil.copyfileobj(data, copy, CHUNK)
        yield path


def _range_as_problem(scope: Scope, receive: Receive, send: Send) -> Send:
    """What is sent, but for a range that the file does not have: an error like others."""
    refused = False

    async def sending(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start" and message["status"] == 416:
            refused = True
            told = {"Content-Range": Headers(raw=message["headers"])["content-range"]}
            await problem(416, "the range asks for bytes that the file does not have",
                          headers=told)(scope, receive, send)  # fmt: skip
        elif not refused:
            await send(message)

    return sending


class StoredResponse(FileResponse):
    """A file of a store, read as it is sent: a range costs no more than its bytes."""

    def __init__(self, files: ArtifactStore, key: str, version: str | None, **told: Any) -> None:
        if (known := files.look(key, version)) is None:
            raise MissingFileError(f"{key} is not in the store")
        self._open = partial(files.open, key, known.version)
        facts = SimpleNamespace(st_size=known.bytes, st_mtime=known.modified, st_mode=stat.S_IFREG)
        super().__init__(key, stat_result=cast(os.stat_result, facts), **told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server is not to send the file itself: there may be none on this machine."""
        told = _range_as_problem(scope, receive, send)
        await super().__call__({**scope, "extensions": {}}, receive, told)

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        stream = anyio.wrap_file(await anyio.to_thread.run_sync(self._open))
        try:
            yield stream
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
