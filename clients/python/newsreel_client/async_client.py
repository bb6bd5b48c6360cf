"""The client for asyncio. What it does is written in `flows.py`, once for both clients."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from newsreel_client import flows
from newsreel_client.arguments import (
    SAVED,
    as_bytes,
    as_source,
    connection,
    id_of,
    name_of,
    range_headers,
    settings_of,
    write_mode,
)
from newsreel_client.flows import Ask, Flow, Listener, Pause, Save
from newsreel_client.models import Job, Release, Verdict

T = TypeVar("T")


class AsyncNewsreel:
    """For asyncio; the same calls, awaited. A listener runs in the loop's thread."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.AsyncClient(**connection(url, key))

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
        data, wanted = await asyncio.to_thread(as_bytes, photograph), {"prompt": prompt} | fields
        return await self._run(flows.submit(data, wanted, idempotency_key))

    async def upscale(
        self, video: Path | str | bytes, scale: int = 2, quality: str = "balanced", **settings: Any
    ) -> Job:
        """As `Newsreel.upscale`."""
        wanted = settings_of(scale, quality, settings)
        return await self._run(flows.upscale(as_source(video), wanted))

    async def job(self, job: Job | str) -> Job:
        """As `Newsreel.job`."""
        return await self._run(flows.look(id_of(job)))

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
        return await self._run(flows.wait(id_of(job), on_progress, timeout_s, every_s))

    async def download(self, job: Job | str, target: Path | str) -> Path:
        """As `Newsreel.download`."""
        return await self._run(flows.download(id_of(job), Path(target)))

    async def cancel(self, job: Job | str) -> Job:
        """As `Newsreel.cancel`."""
        return await self._run(flows.cancel(id_of(job)))

    async def full(self, job: Job | str) -> Job:
        """As `Newsreel.full`."""
        return await self._run(flows.full(id_of(job)))

    async def delete(self, job: Job | str) -> None:
        """As `Newsreel.delete`."""
        await self._run(flows.delete(id_of(job)))

    async def verify(self, file: Path | str | bytes) -> Verdict:
        """As `Newsreel.verify`."""
        return await self._run(flows.verify(as_source(file)))

    async def ask_approval(
        self, job: Job | str, note: str = "", embargo: str | None = None,
        supersedes: Release | str | None = None, label: bool | None = None,
    ) -> Release:  # fmt: skip
        """As `Newsreel.ask_approval`."""
        told = {"note": note, "embargo": embargo}
        return await self._run(flows.ask_approval(id_of(job), name_of(supersedes), label, told))

    async def submit_release(
        self, release: Release | str, note: str = "", embargo: str | None = None
    ) -> Release:
        """As `Newsreel.submit_release`."""
        return await self._run(flows.decide(release, "submit", {"note": note, "embargo": embargo}))

    async def look_at_release(self, release: Release | str) -> Release:
        """As `Newsreel.look_at_release`."""
        return await self._run(flows.look_at_release(id_of(release)))

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
        async with self._http.stream(
            "GET", step.path, headers=range_headers(step.target)
        ) as answer:
            if answer.status_code not in SAVED:
                await answer.aread()
                return answer
            with step.target.open(write_mode(answer)) as file:
                async for piece in answer.aiter_bytes():
                    file.write(piece)
            return answer
