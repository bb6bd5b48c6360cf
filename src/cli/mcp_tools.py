"""What an assistant may do with a service; each tool is a call of the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import httpx
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError

from src.core.durable import write_whole

SECONDS = 120.0


class Tools:
    """url, key: of the service. folder: the only place that is written to."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        # httpx takes this header, and no other, off a request that is led to another host
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=SECONDS)
        self.folder = folder

    def generate(
        self, photograph: str, prompt: str, seed: int | None = None, upscale: str | None = None,
        model: str | None = None, mode: str | None = None, accept_licence: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Start a clip. photograph: path of a picture on this machine. prompt: how camera and scene
        move, such as "slow push in, flags in the wind". seed: the same seed gives the same clip.
        upscale: "2x" or "4x" enlarges it. model: another one than the service's usual,
        of which some run in mode "baseline" alone.
        accept_licence: only where a person said that the limits of the model's licence are met; a
        refusal says what they are. Returns the job's id, for `status` and `fetch`.
        """
        form = {"prompt": prompt, "seed": seed, "upscale": upscale, "model": model,
                "mode": mode, "accept_licence": accept_licence or None}  # fmt: skip
        given = {name: str(value) for name, value in form.items() if value is not None}
        with _opened(photograph) as file:
            return _short(
                self._asked(
                    "POST", "/generate-video", data=given, headers={"Prefer": "respond-async"},
                    files={"image": (Path(photograph).name, file)},
                ).json()
            )  # fmt: skip

    def status(self, job: str) -> list[Any]:
        """Where a job is: its state, stage and progress, and a picture of the clip as far as it is
        made. job: an id that `generate` returned.
        """
        told = _short(self._asked("GET", f"/jobs/{_plain(job)}").json())
        picture = self.client.get(f"/jobs/{_plain(job)}/picture")
        if picture.status_code != 200 or not picture.headers["content-type"].startswith("image/"):
            return [told]
        return [told, Image(data=picture.content, format=picture.headers["content-type"][6:])]

    def fetch(self, job: str) -> dict[str, Any]:
        """Save the clip of a completed job, and its manifest. Returns their paths and the link."""
        told = self._asked("GET", f"/jobs/{_plain(job)}").json()
        if told["artifact"] is None:
            raise ToolError(f"job {job} is {told['state']}; there is no clip of it")
        saved = {}
        for name, link in (("clip", "artifact_url"), ("manifest", "manifest_url")):
            if told.get(link):
                saved[name] = str(self._saved(told[link], _suffixed(told["artifact"], name)))
        return saved | {"url": str(self.client.base_url.join(told["artifact_url"]))}

    def upscale(self, video: str, scale: int = 2, quality: str = "fast") -> dict[str, Any]:
        """Start to enlarge a video. video: its path on this machine. scale: 2, 4 or 8. quality:
        fast, balanced or quality. Returns the job's id, for `status` and `fetch`.
        """
        settings = f'{{"scale": {int(scale)}, "quality": "{_plain(quality)}"}}'
        with _opened(video) as file:
            told = self._asked("POST", "/api/upload", data={"settings": settings},
                               files={"video": (Path(video).name, file)}).json()  # fmt: skip
        return {"id": told["taskId"], "state": told["status"]}

    def verify(self, file: str) -> dict[str, Any]:
        """What a clip or a photograph says of itself: who signed it, and whether it was changed
        since. file: its path on this machine. Returns `changed`, a sentence, and each layer.
        """
        with _opened(file) as opened:
            return self._asked("POST", "/verify", files={"file": (Path(file).name, opened)}).json()

    def _asked(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Raises ToolError with the service's own sentence, which the assistant reads."""
        try:
            answer = self.client.request(method, path, **what)
        except httpx.TransportError as error:
            reason = f"{self.client.base_url} does not answer: {error}"
            raise ToolError(reason) from None
        if answer.is_error:
            raise ToolError(_reason(answer))
        return answer

    def _saved(self, link: str, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / Path(name).name
        write_whole(target, self._asked("GET", link, follow_redirects=True).content)
        return target


def _opened(path: str) -> BinaryIO:
    try:
        return Path(path).expanduser().open("rb")
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}") from None


def _suffixed(artifact: str, kind: str) -> str:
    return artifact if kind == "clip" else str(Path(artifact).with_suffix(".json"))


def _short(job: dict[str, Any]) -> dict[str, Any]:
    """What of a job an assistant needs."""
    names = ("id", "state", "stage", "done", "total", "queue_place", "expected_s", "error")
    return {name: job[name] for name in names if job.get(name) is not None}


def _plain(text: str) -> str:
    """A part of a path or a name that can be nothing else."""
    if not text.replace("/", "").replace("-", "").isalnum() or ".." in text:
        raise ToolError(f"{text!r} is no id")
    return text


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {answer.status_code}"
