"""The command that watches a folder: a photograph with words becomes a clip beside it."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from src.console.options import CONFIG, QUIET, make_app, named_path, options_for, switch, value
from src.console.output import command
from src.core.errors import BadInputError, OutputError
from src.core.interrupts import STOPS
from src.core.progress import CancelToken

OWN = ("mode", "input_image", "output_path", "overwrite", "prompt", "template", "set")
LOCK = ".newsreel-watch.lock"
OPTIONS: dict[str, Any] = {
    "folder": Annotated[
        Path | None, typer.Argument(parser=named_path, help="The folder to watch.")
    ],
    **options_for(lambda field: field.name not in OWN),
    "config": CONFIG,
    "settle": value(float, "Seconds in which a file may not have changed [2]."),
    "patience": value(float, "Seconds that a photograph waits for its words [60]."),
    "once": switch("Make what is there, and end.", "--once"),
    "quiet": QUIET,
}


def watch_app() -> typer.Typer:
    """Runs until SIGTERM or Ctrl-C. Exit 2 where the folder is none or is watched already."""
    return make_app(
        OPTIONS, "Photographs that are put into a folder become clips beside them.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(quiet=values["quiet"]):
        folder = values.pop("folder")
        if folder is None:
            raise BadInputError("name the folder to watch")
        if not folder.is_dir():
            raise BadInputError(f"{folder} is not a folder; name the one to watch")
        with _alone(folder):
            _watch(folder, values)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two watchers would make each clip twice. Raises BadInputError, or OutputError where nothing
    can be written in the folder.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BadInputError(f"{folder} is watched by another process already") from None
    finally:
        os.close(lock)


def _watch(folder: Path, values: dict[str, Any]) -> None:
    from src.core.request import build_request
    from src.engine.watching import WatchedFolder

    own = {name: values.pop(name) for name in ("settle", "patience")}
    once, config = values.pop("once"), values.pop("config")
    values.pop("quiet")
    given = {name: value for name, value in own.items() if value is not None}
    watched = WatchedFolder(folder, **given)
    usual = build_request(values | {"input_image": "any"}, config)
    stop, cancel = threading.Event(), CancelToken()
    _on_signals(stop, cancel)
    maker = Maker(usual, cancel)
    while not stop.is_set():
        for item in watched.ready():
            if stop.is_set():
                return
            maker.make(watched, item)
        if once:
            return
        stop.wait(1.0)


def _on_signals(stop: threading.Event, cancel: CancelToken) -> None:
    def ask(*_: object) -> None:
        stop.set()
        cancel.cancel()

    for number in STOPS:
        signal.signal(number, ask)


class Maker:
    """Makes clips one after the other with one warm session. usual: what the command said."""

    def __init__(self, usual: Any, cancel: CancelToken) -> None:
        from src.engine.probe import probe
        from src.engine.sessions import Sessions

        self.usual, self.cancel = usual, cancel
        self.hardware, self.sessions = probe(usual.device), Sessions()
        self._check()

    def _check(self) -> None:
        """Raise now what the command's own flags are wrong in: no photograph is to blame for it."""
        from src.engine.generate import plans_for, prepare, sized
        from src.engine.warm import SAMPLE

        with tempfile.TemporaryDirectory() as folder:
            own = {"input_image": SAMPLE, "prompt": "p", "output_path": Path(folder) / "a.mp4"}
            plans_for(sized(prepare(self.usual.model_copy(update=own)), self.hardware),
                      self.hardware)  # fmt: skip

    def make(self, folder: Any, item: Any) -> None:
        """The clip of a photograph; what is wrong with that one moves it aside, everything else
        (a full disk, missing weights) ends the watch.
        """
        from loguru import logger

        from src.core.errors import CancelledError

        try:
            path = self._clip(item)
        except BadInputError as error:
            if not item.photograph.is_file():
                logger.warning("{} was taken away", item.photograph.name)
                return
            folder.reject(item.photograph, str(error))
            logger.warning("{} is set aside: {}", item.photograph.name, error)
        except CancelledError:
            logger.info("stopped; {} is made at the next start", item.clip.name)
        else:
            logger.info("{}", path)

    def _clip(self, item: Any) -> Path:
        from src.engine.generate import generate, plans_for, prepare, sized

        prepared = sized(prepare(item.request(self.usual)), self.hardware)
        plans = plans_for(prepared, self.hardware)
        return generate(
            prepared, plans, self.hardware, cancel=self.cancel, sessions=self.sessions
        ).path
