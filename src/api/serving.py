"""Files of the artifact store as answers."""

from contextlib import ExitStack
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from src.artifacts.store import ArtifactStore

LINK_S = 60
"""How long an address outside the service holds."""


def serve(
    files: ArtifactStore, key: str, media_type: str, headers: dict[str, str] | None = None,
    filename: str | None = None, etags: frozenset[str] = frozenset(),
) -> Response:  # fmt: skip
    """The file, or 307 to where the client may fetch it. Range requests are understood. etags: what
    the client has; 304 where it is still that. Raises MissingFileError.
    """
    if (url := files.url(key, LINK_S)) is not None:
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    answer = StoredResponse(files, key, media_type=media_type, headers=headers, filename=filename)
    tag = answer.headers["etag"]
    if not etags & {tag, "*"}:
        return answer
    answer.close()
    return Response(status_code=304, headers=(headers or {}) | {"ETag": tag})


class StoredResponse(FileResponse):
    """A file of a store, which gives its local copy back when the answer is over."""

    def __init__(self, files: ArtifactStore, key: str, **told: Any) -> None:
        with ExitStack() as opened:
            path = opened.enter_context(files.local(key))
            super().__init__(path, stat_result=path.stat(), **told)
            self._opened = opened.pop_all()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.close()

    def close(self) -> None:
        """For an answer that is not sent."""
        self._opened.close()
