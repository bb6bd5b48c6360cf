"""What a clip passes on its way through a module that is called once: told as progress, and left
where the run is cancelled."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from src.core.progress import CancelToken, Listener, Progress


@contextmanager
def passing(
    parts: Sequence[nn.Module], listener: Listener, cancel: CancelToken, stage: str = "decode"
) -> Iterator[None]:
    """Look for the wish to stop before each part, and tell of each that was passed; for this long
    only. parts: in the order in which each is called once. Raises CancelledError."""
    with ExitStack() as stack:
        for number, part in enumerate(parts, start=1):
            report = _reporter(Progress(stage, number, len(parts)), listener)
            for handle in (
                part.register_forward_pre_hook(lambda *_: cancel.check()),
                part.register_forward_hook(report),
            ):
                stack.callback(handle.remove)
        yield


def _reporter(progress: Progress, listener: Listener) -> Any:
    return lambda *_: listener(progress)
