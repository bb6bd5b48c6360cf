"""Errors of the service and its workers, sent to a tracker that speaks Sentry's protocol
(`NEWSREEL_SENTRY_DSN`): what is logged as an error, with its stack.

Neither variables' values nor what clients sent goes there; `request`, `job` and `worker` do, as
tags.
"""

import os
from typing import Any

from loguru import logger

from src.core.errors import BadInputError

VARIABLE = "NEWSREEL_SENTRY_DSN"


def track_errors() -> None:
    """Nothing where no DSN is set. Raises BadInputError for one that is none, and where the package
    is missing.
    """
    if not (dsn := os.environ.get(VARIABLE)):
        return
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise BadInputError(
            f"{VARIABLE} needs sentry-sdk: pip install -r requirements-fleet.txt"
        ) from None
    quiet = AtexitIntegration(callback=lambda *_: None)
    try:
        sentry_sdk.init(
            dsn, default_integrations=False, integrations=[quiet], max_breadcrumbs=0,
            include_local_variables=False, send_default_pii=False, server_name="",
        )  # fmt: skip
    except BadDsn:
        raise BadInputError(f"{VARIABLE} is no DSN, such as https://KEY@HOST/PROJECT") from None
    logger.add(_report, level="ERROR", format="{message}", diagnose=False, backtrace=False)


def _report(message: Any) -> None:
    import sentry_sdk

    record = message.record
    with sentry_sdk.new_scope() as scope:
        for name, value in record["extra"].items():
            scope.set_tag(name, str(value))
        if record["exception"] is not None:
            sentry_sdk.capture_exception(record["exception"].value)
        else:
            sentry_sdk.capture_message(record["message"], level="error")
