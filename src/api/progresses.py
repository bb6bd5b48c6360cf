"""How far a job is, in per cent of all its stages."""

import threading
from collections import OrderedDict

from src.jobs.model import Job, State

STAGES = {"load": (1, 5), "encode": (5, 10), "denoise": (10, 85), "decode": (85, 95),
          "deliver": (95, 99)}  # fmt: skip
"""Per cent from and to of each stage."""


class Progresses:
    """The furthest that each job was seen: a second attempt begins at its first stage."""

    MOST = 1000

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, job: Job) -> int:
        """0 to 99 until it is completed, 100 then; never less than before, unless it was retried
        by hand.
        """
        with self._lock:
            if job.state is State.COMPLETED:
                self._seen.pop(job.id, None)
                return 100
            before = self._seen.pop(job.id, 0) if job.attempts else 0
            self._seen[job.id] = now = max(before, _per_cent(job))
            if len(self._seen) > self.MOST:
                self._seen.popitem(last=False)
        return now


def _per_cent(job: Job) -> int:
    if job.state is State.PENDING or job.stage not in STAGES:
        return 0
    begin, end = STAGES[job.stage]
    return begin + round((end - begin) * min(1.0, job.done / job.total)) if job.total else begin
