"""Logs: sentences for people, or JSON lines with stack traces for machines
(`NEWSREEL_LOG=json`).
"""

import logging
import os
import sys
import traceback
from typing import Any

from loguru import logger

PREFIX = {"WARNING": "warning: ", "ERROR": "error: ", "CRITICAL": "error: "}
UNASKED = ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer")
"""Where torchao is installed, transformers imports it whatever a clip needs, and these warn of its
parts for other cards and of names that it lost.
"""


def setup_logs(quiet: bool = False) -> None:
    """Send logs to standard error; `quiet` keeps warnings and errors only. Never shows variables'
    values.
    """
    for name in UNASKED:
        logging.getLogger(name).setLevel(logging.ERROR)
    logger.remove()
    if os.environ.get("NEWSREEL_LOG") == "json":
        logger.add(_write_json, level="DEBUG", diagnose=False, backtrace=False)
        return
    level = "WARNING" if quiet else "INFO"
    logger.add(
        _write,
        level=level,
        format=_format,
        diagnose=False,
        backtrace=False,
        colorize=sys.stderr.isatty(),
    )


def say_error(message: str) -> None:
    """The one sentence a person reads when a command fails."""
    logger.error(message)


def _write(text: str) -> None:
    sys.stderr.write(text)


def _write_json(message: Any) -> None:
    import json

    record = message.record
    line = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        "where": f"{record['name']}:{record['line']}",
        **{key: str(value) for key, value in record["extra"].items()},
    }
    if record["exception"] is not None:
        line["stack"] = "".join(traceback.format_exception(record["exception"].value))
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")


def _format(record: Any) -> str:
    prefix = PREFIX.get(record["level"].name, "")
    return f"<level>{prefix}</level>{{message}}\n{{exception}}"
