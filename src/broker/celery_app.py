"""Celery as Newsreel uses it: one task, a quorum queue for each kind of job, late acknowledgement.

The package is an extra and is imported where it is used.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from src.core.errors import BadInputError, OutputError
from src.core.kinds import KINDS
from src.core.urls import split_url

if TYPE_CHECKING:
    from celery import Celery

EXTRA = "pip install -r requirements-fleet.txt"
TASK = "newsreel.permit"
HEARTBEAT_S = 10
PAUSES = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
ANSWER_S = 3.0
"""How long a broker may take to answer whoever publishes, or looks."""


def queue_of(kind: str) -> str:
    """The queue of permits for jobs of a kind; the URL's virtual host sets installations apart."""
    return f"newsreel.{kind}"


def check_url(url: str) -> None:
    """Raises BadInputError where the URL is none of RabbitMQ's."""
    parts = split_url(url, "NEWSREEL_BROKER")
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise BadInputError(
            "NEWSREEL_BROKER is no address of RabbitMQ; such as amqp://user:password@host:5672/"
        )


def without_password(url: str) -> str:
    """The URL without its password."""
    parts = split_url(url, "NEWSREEL_BROKER")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 5672}{parts.path}"


def make_celery(url: str, publishing: bool = False) -> "Celery":
    """The application. publishing: for connections that only publish and look, on which no answer
    is waited for longer than `ANSWER_S`. Raises BadInputError where the package is missing.
    """
    check_url(url)
    try:
        from celery import Celery
        from kombu import Queue
    except ImportError:
        raise BadInputError(f"NEWSREEL_BROKER needs Celery: {EXTRA}") from None
    app = _connecting_soon(Celery)("newsreel", broker=url, set_as_current=False)
    quorum = {"x-queue-type": "quorum"}
    app.conf.update(
        task_queues=[Queue(queue_of(kind), queue_arguments=quorum) for kind in KINDS],
        task_create_missing_queues=False, task_default_queue=queue_of(KINDS[0]),
        task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1,
        task_reject_on_worker_lost=True, broker_heartbeat=0 if publishing else HEARTBEAT_S,
        broker_connection_timeout=ANSWER_S, broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None, broker_transport_options=_options(publishing),
        worker_hijack_root_logger=False, worker_redirect_stdouts=False,
        worker_enable_remote_control=False, worker_send_task_events=False,
    )  # fmt: skip
    return app


def _connecting_soon(celery: type["Celery"]) -> type["Celery"]:
    """Connects again within seconds: Celery's own pauses grow to half a minute."""

    class Soon(celery):
        def connection_for_read(self, *args: Any, **values: Any) -> Any:
            made = super().connection_for_read(*args, **values)
            made.ensure_connection = partial(made.ensure_connection, **PAUSES)
            return made

    return Soon


def _options(publishing: bool) -> dict[str, object]:
    """Confirmed publishing; without it a frozen broker would say that all is well."""
    limits = {"read_timeout": ANSWER_S, "write_timeout": ANSWER_S} if publishing else {}
    return {"confirm_publish": True, **limits}


def check_broker(app: "Celery", url: str) -> None:
    """Raises OutputError, one sentence, where the broker cannot be used now."""
    try:
        with app.connection_for_write() as connection:
            connection.connect()
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OutputError(
            f"the broker at {without_password(url)} cannot be reached: {reason}"
        ) from None
