"""News of jobs for whoever listens: one reader of the events table for all listeners of this
process.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from loguru import logger

from src.jobs.model import Event, Job
from src.jobs.search import Owner
from src.jobs.store import JobStore

LOOK_S = 0.1
AGAIN_S = 2.0
ANY = "*"
"""Stands for every job."""


class EventBroadcaster:
    """Wakes listeners when their job has news. Reads the database only while somebody listens."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task | None = None
        self._seen: int | None = None  # the last event read; None: nobody listened since
        self.closing = False

    async def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Stop reading and let go of everybody."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.close()

    def close(self) -> None:
        """Let go of everybody who listens: who waits for a clip gets the job as it is, streams end
        without `end`.
        """
        self.closing = True
        self._ring_all()

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except Exception:  # such as a database that is away for a moment
                logger.exception("cannot read the jobs' events; trying again in {:.0f} s", AGAIN_S)
                await asyncio.sleep(AGAIN_S)

    async def _look(self) -> None:
        """Ring for what is new; who comes after a time without listeners does not wait for what
        happened in it.
        """
        if not self._waiting:
            self._seen = None
        elif self._seen is None:
            self._seen = await asyncio.to_thread(self.store.last_event)
            self._ring_all()
        else:
            self._ring(await asyncio.to_thread(self.store.events, None, self._seen))

    def _ring(self, events: Sequence[Event]) -> None:
        for event in events:
            self._seen = event.id
            for bell in self._waiting.get(event.job_id, ()):
                bell.set()
        for bell in self._waiting.get(ANY, ()) if events else ():
            bell.set()

    def _ring_all(self) -> None:
        for waiting in self._waiting.values():
            for bell in waiting:
                bell.set()

    async def wait(self, job_id: str, seconds: float) -> bool:
        """Until the job has news, or the time is up; returns whether it has."""
        bell = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(bell)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), seconds)
            return bell.is_set()
        finally:
            self._waiting[job_id].discard(bell)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def follow(
        self, job_id: str, after: int, silence_s: float = 15.0
    ) -> AsyncIterator[Event | None]:
        """Events of a job after number `after`, as they come, until its last or until the job is
        deleted; None after each silence.
        """
        while not self.closing:
            events = await asyncio.to_thread(self.store.events, job_id, after)
            for event in events:
                after = event.id
                yield event
            job = (await asyncio.to_thread(self.store.many, [job_id])).get(job_id)
            if job is None:
                return
            if job.state.final and not await asyncio.to_thread(self.store.events, job_id, after):
                return
            if not events:
                await self.wait(job_id, silence_s)
                yield None

    async def follow_all(
        self, owner: Owner, after: int, seconds: float = math.inf, silence_s: float = 15.0
    ) -> AsyncIterator[Sequence[Event]]:
        """Events of these owners' jobs after number `after`, as they come, for so many seconds or
        until the service stops; an empty list after each silence.
        """
        until = time.monotonic() + seconds
        while not self.closing and time.monotonic() < until:
            upto = await asyncio.to_thread(self.store.last_event)
            events = await asyncio.to_thread(self.store.events_of, owner, after, upto)
            if events:
                after = events[-1].id
                yield events
            else:
                after = upto
                if not await self.wait(ANY, min(silence_s, until - time.monotonic())):
                    yield []

    async def finished(self, job_id: str, seconds: float) -> Job:
        """The job once it is final, or as it is when the time is up."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            job = await asyncio.to_thread(self.store.get, job_id)
            left = deadline - asyncio.get_running_loop().time()
            if job.state.final or left <= 0 or self.closing:
                return job
            await self.wait(job_id, min(left, 2.0))
