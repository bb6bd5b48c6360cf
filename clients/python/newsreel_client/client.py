"""The two clients: the same flows, driven by a thread or by asyncio."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from newsreel_client import flows
from newsreel_client.flows import Ask, Flow, Listener, Pause, Save
from newsreel_client.models import Job, Release, Verdict

T = TypeVar("T")
TIMEOUT_S = 60.0
SAVED = (200, 206)


def _told(url: str | None, key: str | None) -> dict[str, Any]:
    """Where the service is and who asks; without them NEWSREEL_URL and NEWSREEL_KEY say it."""
    key = key if key is not None else os.environ.get("NEWSREEL_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = url or os.environ.get("NEWSREEL_URL") or "http://localhost:8000"
    return {"base_url": url, "headers": headers, "timeout": TIMEOUT_S, "follow_redirects": True}


def _bytes(photograph: Path | str | bytes) -> bytes:
    return photograph if isinstance(photograph, bytes) else Path(photograph).read_bytes()


def _source(video: Path | str | bytes) -> Path | bytes:
    return Path(video) if isinstance(video, str) else video


def _id(one: Job | Release | str) -> str:
    return one if isinstance(one, str) else one.id


def _name(release: Release | str | None) -> str | None:
    return None if release is None else _id(release)


def _settings(scale: int, quality: str, others: dict[str, Any]) -> dict[str, Any]:
    return {"scale": scale, "quality": quality} | others


def _rest(target: Path) -> dict[str, str]:
    """Headers that ask for what is missing."""
    size = target.stat().st_size if target.exists() else 0
    return {"Range": f"bytes={size}-"} if size else {}


def _mode(answer: httpx.Response) -> str:
    """Append to what is there, or begin anew where the whole file comes."""
    return "ab" if answer.status_code == 206 else "wb"


class Newsreel:
    """For threads. `with Newsreel() as newsreel:` closes its connections."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.Client(**_told(url, key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self, photograph: Path | str | bytes, prompt: str | None = None,
        idempotency_key: str | None = None, **fields: Any,
    ) -> Job:  # fmt: skip
        """Store a job; fields are those of POST /generate-video. Raises RefusedError."""
        wanted = {"prompt": prompt} | fields
        return self._run(flows.submit(_bytes(photograph), wanted, idempotency_key))

    def upscale(
        self, video: Path | str | bytes, scale: int = 2, quality: str = "balanced", **settings: Any
    ) -> Job:
        """Enlarge a video; further settings are those of POST /api/upload. Raises RefusedError."""
        return self._run(flows.upscale(_source(video), _settings(scale, quality, settings)))

    def job(self, job: Job | str) -> Job:
        """The job as it is now. Raises RefusedError 404."""
        return self._run(flows.look(_id(job)))

    def jobs(self, **wanted: Any) -> Iterator[Job]:
        """All jobs that the key may see, newest first; `state`, `q`, `since`, `until`, `limit` (of
        a page) as of GET /jobs.
        """
        after: str | None = ""
        while after is not None:
            more = {"before": after} if after else {}
            found, after = self._run(flows.page(wanted | more))
            yield from found

    def wait(
        self, job: Job | str, on_progress: Listener | None = None,
        timeout_s: float | None = None, every_s: float = 0.5,
    ) -> Job:  # fmt: skip
        """The job once it is COMPLETED. Raises JobFailedError, WaitedTooLongError."""
        return self._run(flows.wait(_id(job), on_progress, timeout_s, every_s))

    def download(self, job: Job | str, target: Path | str) -> Path:
        """The finished file; a broken download goes on where it ended. Raises JobFailedError."""
        return self._run(flows.download(_id(job), Path(target)))

    def cancel(self, job: Job | str) -> Job:
        """Stop it; a running one stops within one step. Raises RefusedError 409."""
        return self._run(flows.cancel(_id(job)))

    def full(self, job: Job | str) -> Job:
        """The job of a finished draft's full clip, at its seed; asked again it is the same job.
        Raises RefusedError 409 for what is no draft.
        """
        return self._run(flows.full(_id(job)))

    def delete(self, job: Job | str) -> None:
        """Forget a finished job and its files. Raises RefusedError 409."""
        self._run(flows.delete(_id(job)))

    def verify(self, file: Path | str | bytes) -> Verdict:
        """What a clip or a photograph says of itself. Raises RefusedError."""
        return self._run(flows.verify(_source(file)))

    def ask_approval(
        self, job: Job | str, note: str = "", embargo: str | None = None,
        supersedes: Release | str | None = None, label: bool | None = None,
    ) -> Release:  # fmt: skip
        """Submit the clip for approval. embargo: a time with its zone, such as
        2026-12-01T06:00:00Z. supersedes: the release that it corrects. label: of a copy with the
        letters AI in the picture; the service's own setting where nothing is said. The copy is made
        first: a draft comes back, whose `job` to wait for and look at; then `submit_release`, which
        takes note and embargo. Raises RefusedError, and NotSubmittedError with the draft where note
        or embargo were given and a copy is made.
        """
        told = {"note": note, "embargo": embargo}
        return self._run(flows.ask_approval(_id(job), _name(supersedes), label, told))

    def submit_release(
        self, release: Release | str, note: str = "", embargo: str | None = None
    ) -> Release:
        """Submit a draft. Raises RefusedError 409 while its labelled copy is being made."""
        return self._run(flows.decide(release, "submit", {"note": note, "embargo": embargo}))

    def look_at_release(self, release: Release | str) -> Release:
        """The release as it is now. Raises RefusedError 404."""
        return self._run(flows.look_at_release(_id(release)))

    def releases(self, **wanted: Any) -> Iterator[Release]:
        """All releases that the key may see, newest first; `state`, `limit` (of a page)."""
        after: str | None = ""
        while after is not None:
            more = {"before": after} if after else {}
            found, after = self._run(flows.releases(wanted | more))
            yield from found

    def approve(self, release: Release | str, note: str = "") -> Release:
        """Of a Release, just what it shows: RefusedError 409 where it is another by now."""
        return self._run(flows.decide(release, "approve", {"note": note}))

    def reject(self, release: Release | str, reason: str) -> Release:
        """Raises RefusedError."""
        return self._run(flows.decide(release, "reject", {"note": reason}))

    def release(self, release: Release | str, embargo: str | None = None) -> Release:
        """Let out what is approved. Raises RefusedError."""
        return self._run(flows.decide(release, "release", {"embargo": embargo}))

    def withdraw(self, release: Release | str, reason: str) -> Release:
        """Whoever asks for the clip is told the reason. Raises RefusedError."""
        return self._run(flows.decide(release, "withdraw", {"note": reason}))

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._do(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    def _do(self, step: Ask | Save | Pause) -> httpx.Response | None:
        match step:
            case Ask():
                return self._http.request(step.method, step.path, **step.options)
            case Save():
                return self._save(step)
            case Pause():
                time.sleep(step.seconds)
                return None

    def _save(self, step: Save) -> httpx.Response:
        with self._http.stream("GET", step.path, headers=_rest(step.target)) as answer:
            if answer.status_code not in SAVED:
                answer.read()
                return answer
            with step.target.open(_mode(answer)) as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
            return answer


class AsyncNewsreel:
    """For asyncio; the same calls, awaited. A listener runs in the loop's thread."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.AsyncClient(**_told(url, key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(
        self, photograph: Path | str | bytes, prompt: str | None = None,
        idempotency_key: str | None = None, **fields: Any,
    ) -> Job:  # fmt: skip
        """As `Newsreel.submit`."""
        data, wanted = await asyncio.to_thread(_bytes, photograph), {"prompt": prompt} | fields
        return await self._run(flows.submit(data, wanted, idempotency_key))

    async def upscale(
        self, video: Path | str | bytes, scale: int = 2, quality: str = "balanced", **settings: Any
    ) -> Job:
        """As `Newsreel.upscale`."""
        wanted = _settings(scale, quality, settings)
        return await self._run(flows.upscale(_source(video), wanted))

    async def job(self, job: Job | str) -> Job:
        """As `Newsreel.job`."""
        return await self._run(flows.look(_id(job)))

    async def jobs(self, **wanted: Any) -> AsyncIterator[Job]:
        """As `Newsreel.jobs`."""
        after: str | None = ""
        while after is not None:
            more = {"before": after} if after else {}
            found, after = await self._run(flows.page(wanted | more))
            for job in found:
                yield job

    async def wait(
        self, job: Job | str, on_progress: Listener | None = None,
        timeout_s: float | None = None, every_s: float = 0.5,
    ) -> Job:  # fmt: skip
        """As `Newsreel.wait`."""
        return await self._run(flows.wait(_id(job), on_progress, timeout_s, every_s))

    async def download(self, job: Job | str, target: Path | str) -> Path:
        """As `Newsreel.download`."""
        return await self._run(flows.download(_id(job), Path(target)))

    async def cancel(self, job: Job | str) -> Job:
        """As `Newsreel.cancel`."""
        return await self._run(flows.cancel(_id(job)))

    async def full(self, job: Job | str) -> Job:
        """As `Newsreel.full`."""
        return await self._run(flows.full(_id(job)))

    async def delete(self, job: Job | str) -> None:
        """As `Newsreel.delete`."""
        await self._run(flows.delete(_id(job)))

    async def verify(self, file: Path | str | bytes) -> Verdict:
        """As `Newsreel.verify`."""
        return await self._run(flows.verify(_source(file)))

    async def ask_approval(
        self, job: Job | str, note: str = "", embargo: str | None = None,
        supersedes: Release | str | None = None, label: bool | None = None,
    ) -> Release:  # fmt: skip
        """As `Newsreel.ask_approval`."""
        told = {"note": note, "embargo": embargo}
        return await self._run(flows.ask_approval(_id(job), _name(supersedes), label, told))

    async def submit_release(
        self, release: Release | str, note: str = "", embargo: str | None = None
    ) -> Release:
        """As `Newsreel.submit_release`."""
        return await self._run(flows.decide(release, "submit", {"note": note, "embargo": embargo}))

    async def look_at_release(self, release: Release | str) -> Release:
        """As `Newsreel.look_at_release`."""
        return await self._run(flows.look_at_release(_id(release)))

    async def releases(self, **wanted: Any) -> AsyncIterator[Release]:
        """As `Newsreel.releases`."""
        after: str | None = ""
        while after is not None:
            more = {"before": after} if after else {}
            found, after = await self._run(flows.releases(wanted | more))
            for each in found:
                yield each

    async def approve(self, release: Release | str, note: str = "") -> Release:
        """As `Newsreel.approve`."""
        return await self._run(flows.decide(release, "approve", {"note": note}))

    async def reject(self, release: Release | str, reason: str) -> Release:
        """As `Newsreel.reject`."""
        return await self._run(flows.decide(release, "reject", {"note": reason}))

    async def release(self, release: Release | str, embargo: str | None = None) -> Release:
        """As `Newsreel.release`."""
        return await self._run(flows.decide(release, "release", {"embargo": embargo}))

    async def withdraw(self, release: Release | str, reason: str) -> Release:
        """As `Newsreel.withdraw`."""
        return await self._run(flows.decide(release, "withdraw", {"note": reason}))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._do(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _do(self, step: Ask | Save | Pause) -> httpx.Response | None:
        match step:
            case Ask():
                return await self._http.request(step.method, step.path, **step.options)
            case Save():
                return await self._save(step)
            case Pause():
                await asyncio.sleep(step.seconds)
                return None

    async def _save(self, step: Save) -> httpx.Response:
        async with self._http.stream("GET", step.path, headers=_rest(step.target)) as answer:
            if answer.status_code not in SAVED:
                await answer.aread()
                return answer
            with step.target.open(_mode(answer)) as file:
                async for piece in answer.aiter_bytes():
                    file.write(piece)
            return answer
