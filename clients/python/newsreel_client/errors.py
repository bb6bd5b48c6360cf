"""What goes wrong.

    NewsreelError
    ├── RefusedError        the service answered an error
    ├── JobFailedError      the job ended without a file
    ├── WaitedTooLongError  it has not ended in time
    └── NotSubmittedError   the release is a draft still; note and embargo are not kept yet

What the network does is httpx's: `httpx.TransportError`, after the last try.
"""

from newsreel_client.models import Job, Release


class NewsreelError(Exception):
    """Base of the tree; the message is one sentence."""


class RefusedError(NewsreelError):
    """The service answered an error. status: of HTTP. retry_after: seconds, where it says so.
    request_id: finds the request in the service's log.
    """

    def __init__(
        self, status: int, detail: str, retry_after: float | None, request_id: str | None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.retry_after, self.request_id = retry_after, request_id


class JobFailedError(NewsreelError):
    """The job failed, was cancelled, or has no file yet."""

    def __init__(self, job: Job) -> None:
        told = (job.error or {}).get("detail") or f"job {job.id} is {job.state}: it has no file"
        super().__init__(str(told))
        self.job = job


class WaitedTooLongError(NewsreelError):
    """The job goes on; wait again with its id."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is {job.state} still")
        self.job = job


class NotSubmittedError(NewsreelError):
    """The release is of a labelled copy that is looked at first, so neither note nor embargo is
    kept yet. release: the draft; wait for its job and submit it with both.
    """

    def __init__(self, release: Release) -> None:
        super().__init__(
            f"release {release.id} is a draft of a labelled copy, job {release.job}: give note and "
            "embargo to submit_release once that is made"
        )
        self.release = release
