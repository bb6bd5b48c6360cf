"""A client of the Newsreel service, for threads (`Newsreel`) and for asyncio (`AsyncNewsreel`)."""

from newsreel_client.async_client import AsyncNewsreel
from newsreel_client.client import Newsreel
from newsreel_client.errors import (
    JobFailedError,
    NewsreelError,
    NotSubmittedError,
    RefusedError,
    WaitedTooLongError,
)
from newsreel_client.models import Job, Progress, Release, Verdict

__all__ = [
    "AsyncNewsreel",
    "Job",
    "JobFailedError",
    "Newsreel",
    "NewsreelError",
    "NotSubmittedError",
    "Progress",
    "RefusedError",
    "Release",
    "Verdict",
    "WaitedTooLongError",
]
