"""A worker that waits for permits instead of looking at the database: Celery brings them, one at a
time, and each lets it claim once.

A permit is acknowledged when its job has ended. Celery runs in the main thread and answers the
broker; the job runs in the one thread of its pool; a third thread keeps the device between jobs.
"""

import threading
from typing import TYPE_CHECKING, Any

from loguru import logger

from src.broker.celery_app import TASK, check_broker, make_celery, queue_of
from src.broker.logs import pass_on
from src.broker.permits import Permits
from src.database.trouble import UnavailableError
from src.jobs.model import Job

if TYPE_CHECKING:
    from celery import Celery

    from src.worker.loop import Worker

AGAIN_S = 1.0
LOOK_S = 0.5  # Celery looks so often whether it is to stop
STARTS = {"pool": "threads", "concurrency": 1, "without_gossip": True, "without_mingle": True}


class PermitLoop:
    """Runs `worker` by permits of the broker at `url`. permits: tells of jobs that wait again."""

    def __init__(self, worker: "Worker", url: str, permits: Permits) -> None:
        self.worker, self.permits = worker, permits
        self.app = make_celery(url)
        check_broker(self.app, url)
        self._busy, self._over = threading.Lock(), threading.Event()
        self._error: BaseException | None = None
        worker.given_back = self._tell
        self.app.task(name=TASK)(self._permit)

    def _tell(self, job: Job) -> None:
        self.permits.publish(job.kind, job.id)

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C. Raises what else ends it, such as a database that is away
        for too long.
        """
        keeper = threading.Thread(target=self._keep, daemon=True, name="keeper")
        keeper.start()
        try:
            while self.worker.goes_on():
                self._consume()
                self._again()
        finally:
            self._over.set()
            keeper.join()
            self.worker.close()
            self.permits.stop()
        if self._error is not None:
            raise self._error

    def _again(self) -> None:
        """Celery gives up where the broker closes its channel, as after `consumer_timeout`. Our
        model stays loaded: a new one takes its place.
        """
        if self.worker.goes_on():
            logger.warning("the broker closed the channel; waiting for permits again")
            self.worker.stopping.wait(AGAIN_S)

    def _consume(self) -> None:
        """Until Celery is told to stop, or gives up by itself."""
        from celery.worker import state

        pass_on()
        state.reset_state()
        state.should_stop = state.should_terminate = None
        queues = [queue_of(kind) for kind in self.worker.kinds]
        _celery_worker(self.app, queues, self.worker.name).start()

    def _permit(self, kind: str, job_id: str) -> None:
        """Claim once; make what was claimed. The permit goes back where we stop before that."""
        from celery.exceptions import Reject

        with self._busy:
            try:
                if not self._serve():
                    raise Reject("the worker stops", requeue=True)
            except UnavailableError as error:
                self._end(error)
                raise Reject("the database is away", requeue=True) from None

    def _serve(self) -> bool:
        """False where the worker stops before it could claim."""
        worker = self.worker
        while worker.goes_on():
            worker.pulse.beat("claim")
            try:
                if worker.is_able():
                    if (job := worker.claim()) is not None:
                        worker.work(job)
                    return True
            except UnavailableError as error:
                worker.wait(error)
                continue
            worker.stopping.wait(worker.poll_s)
        return False

    def _keep(self) -> None:
        """Between jobs: hold the device, load what is to be warm, show that we live."""
        while not self._over.wait(self.worker.poll_s):
            if not self.worker.goes_on():
                _stop_celery()
            elif self._busy.acquire(blocking=False):
                try:
                    self._hold()
                finally:
                    self._busy.release()

    def _hold(self) -> None:
        self.worker.pulse.beat("claim")
        try:
            self.worker.is_able()
        except UnavailableError as error:
            self._wait(error)
        except Exception as error:  # such as a model that cannot be loaded
            self._end(error)

    def _wait(self, error: UnavailableError) -> None:
        try:
            self.worker.wait(error)
        except UnavailableError:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        """Stop, and let `run` raise it."""
        logger.debug("the worker ends: {}", error)
        self._error = error
        self.worker.stopping.set()


def _stop_celery() -> None:
    """It takes no more permits, lets the job end, acknowledges its permit, and returns."""
    from celery.worker import state

    state.should_stop = 0


def _celery_worker(app: "Celery", queues: list[str], name: str) -> Any:
    """Celery's worker without its handlers of signals, which are ours, and without its banner."""

    class Quick(app.WorkController):
        """Its loop turns twice a second also where nothing comes, so that it stops soon."""

        turning: Any = None

        def on_consumer_ready(self, consumer: Any) -> None:
            if self.turning is not None:
                self.turning.cancel()
            self.turning = consumer.timer.call_repeatedly(LOOK_S, lambda: None)

    return Quick(app=app, queues=queues, hostname=f"{name}@newsreel", **STARTS)
