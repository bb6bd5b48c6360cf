"""The command that serves single pictures through LitServe: POST /upscale with a picture, PNG back.

An endpoint of its own, off unless it is started: no keys, no jobs, for programs beside it.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from src.console.options import make_app, value
from src.console.output import command
from src.core.errors import BadInputError
from src.core.interrupts import STOPS
from src.core.upscale_request import EnhanceSettings

if TYPE_CHECKING:
    from src.upscaling.backends import UpscalerChoice

MOST_SENT = 50_000_000
"""Bytes of a request."""
OPTIONS: dict[str, Any] = {
    "preset": value(str, "fast, balanced or quality [fast]."),
    "scale": value(int, "2, 4 or 8 [2]."),
    "device": value(str, "auto, cpu or cuda [auto]."),
    "host": value(str, "Address to listen on [127.0.0.1]."),
    "port": value(int, "Port [8100]."),
    "batch": value(int, "Pictures of one forward at most; 1 leaves batching out [8]."),
    "wait": value(float, "Seconds that the first of them waits for others [0.02]."),
    "processes": value(int, "Processes a device [1]."),
}


def still_server_app() -> Any:
    """Runs until SIGTERM or Ctrl-C."""
    return make_app(OPTIONS, "Enlarge single pictures over HTTP, with dynamic batching.", _main)


def _main(values: dict[str, Any]) -> None:
    with command():
        choice = _choice(values)
        choice.check(EnhanceSettings())
        server = make_still_server(choice, values)
        _serve(server, values["host"] or "127.0.0.1", values["port"] or 8100)


def _serve(server: Any, host: str, port: int) -> None:
    """Until a signal; nothing that it started outlives it."""
    import psutil

    def stop(*_: object) -> None:
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(0)

    for number in STOPS:
        signal.signal(number, stop)
    server.run(host=host, port=port, generate_client_file=False, num_api_servers=1,
               log_level="warning")  # fmt: skip


def _choice(values: dict[str, Any]) -> UpscalerChoice:
    from src.core.devices import find_device
    from src.upscaling.backends import UpscalerChoice

    device = find_device(values["device"] or "auto")
    return UpscalerChoice(values["preset"] or "fast", values["scale"] or 2, device)


def make_still_server(choice: UpscalerChoice, values: dict[str, Any]) -> Any:
    """Raises BadInputError where LitServe is not here."""
    try:
        import litserve
        import litserve.server
    except ImportError:
        raise BadInputError(
            "src.still_server needs LitServe: pip install -r requirements-stills.txt"
        ) from None
    from src.cli.still_api import StillApi

    # 0.2.19 starts an MCP server of its own where that package is, and knows only its version 1
    litserve.server._MCP_AVAILABLE = False
    batch, wait = values["batch"] or 8, 0.02 if values["wait"] is None else values["wait"]
    batching = {"max_batch_size": batch, "batch_timeout": wait} if batch > 1 else {}
    api = StillApi(choice, api_path="/upscale", **batching)
    return litserve.LitServer(
        api, accelerator=choice.device, devices="auto" if choice.device == "cuda" else 1,
        workers_per_device=values["processes"] or 1, restart_workers=True,
        max_payload_size=MOST_SENT,
    )  # fmt: skip
