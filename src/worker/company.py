"""Several jobs of one worker whose clips are denoised in shared forwards, each with its own lease,
wish to stop and outcome.
"""

from collections.abc import Callable, Sequence

from loguru import logger

from src.core.errors import CancelledError
from src.core.progress import CancelToken, Progress
from src.jobs.errors import LostLeaseError
from src.worker.attempt import Attempt
from src.worker.runners import JobRunner


class AttemptGroup:
    """Denoises the attempts' clips together.

    end: is told of an attempt that was to stop meanwhile; its clip is computed on for nothing, for
    a forward has its rows.
    """

    def __init__(self, attempts: Sequence[Attempt], end: Callable[[Attempt], None]) -> None:
        self.attempts, self.end = attempts, end
        self.cancel = CancelToken()

    def denoise(self, runner: JobRunner) -> None:
        """Where this fails, each clip is made by itself."""
        jobs = [attempt.job for attempt in self.attempts]
        try:
            runner.share(jobs, self._report, self.cancel)
        except CancelledError:
            self._look()
        except Exception as error:
            logger.warning("{} jobs do not share a forward ({}); each is made alone", len(jobs),
                           error)  # fmt: skip
            runner.release()

    def _report(self, report: Progress) -> None:
        self._look()
        for attempt in [each for each in self.attempts if not each.ended]:
            try:
                attempt.report(report)
            except LostLeaseError:
                self.end(attempt)

    def _look(self) -> None:
        """End those that are to stop; stop at all where nobody is left."""
        for attempt in self.attempts:
            if attempt.cancel.cancelled and not attempt.ended:
                self.end(attempt)
        if all(attempt.ended for attempt in self.attempts):
            self.cancel.cancel()
