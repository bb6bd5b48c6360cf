"""The client for threads. What it does is written in `flows.py`, once for both clients."""

import time
from collections.abc import Iterator
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


class Newsreel:
    """For threads. `with Newsreel() as newsreel:` closes its connections."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._http = httpx.Client(**connection(url, key))

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
        return self._run(flows.submit(as_bytes(photograph), wanted, idempotency_key))

    def upscale(
        self, video: Path | str | bytes, scale: int = 2, quality: str = "balanced", **settings: Any
    ) -> Job:
        """Enlarge a video; further settings are those of POST /api/upload. Raises RefusedError."""
        return self._run(flows.upscale(as_source(video), settings_of(scale, quality, settings)))

    def job(self, job: Job | str) -> Job:
        """The job as it is now. Raises RefusedError 404."""
        return self._run(flows.look(id_of(job)))

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
        return self._run(flows.wait(id_of(job), on_progress, timeout_s, every_s))

    def download(self, job: Job | str, target: Path | str) -> Path:
        """The finished file; a broken download goes on where it ended. Raises JobFailedError."""
        return self._run(flows.download(id_of(job), Path(target)))

    def cancel(self, job: Job | str) -> Job:
        """Stop it; a running one stops within one step. Raises RefusedError 409."""
        return self._run(flows.cancel(id_of(job)))

    def full(self, job: Job | str) -> Job:
        """The job of a finished draft's full clip, at its seed; asked again it is the same job.
        Raises RefusedError 409 for what is no draft.
        """
        return self._run(flows.full(id_of(job)))

    def delete(self, job: Job | str) -> None:
        """Forget a finished job and its files. Raises RefusedError 409."""
        self._run(flows.delete(id_of(job)))

    def verify(self, file: Path | str | bytes) -> Verdict:
        """What a clip or a photograph says of itself. Raises RefusedError."""
        return self._run(flows.verify(as_source(file)))

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
        return self._run(flows.ask_approval(id_of(job), name_of(supersedes), label, told))

    def submit_release(
        self, release: Release | str, note: str = "", embargo: str | None = None
    ) -> Release:
        """Submit a draft. Raises RefusedError 409 while its labelled copy is being made."""
        return self._run(flows.decide(release, "submit", {"note": note, "embargo": embargo}))

    def look_at_release(self, release: Release | str) -> Release:
        """The release as it is now. Raises RefusedError 404."""
        return self._run(flows.look_at_release(id_of(release)))

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
        with self._http.stream("GET", step.path, headers=range_headers(step.target)) as answer:
            if answer.status_code not in SAVED:
                answer.read()
                return answer
            with step.target.open(write_mode(answer)) as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
            return answer
