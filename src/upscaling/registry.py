"""The backends: an explicit list. One more upscaler is a spec in `configs/upscalers/`, and a line here where it needs
code of its own.
"""

from collections.abc import Callable

from src.upscaling.backends import Backend, Choice


def _network(choice: Choice) -> Backend:
    from src.upscaling.network_backend import NetworkBackend

    return NetworkBackend(choice)


BACKENDS: dict[str, Callable[[Choice], Backend]] = {"network": _network}
"""What runs an upscaler, by the name that its spec has for it. Each imports its own network when it is called."""


def load_backend(choice: Choice) -> Backend:
    """The backend of a choice, loaded. Raises as `Choice.files` does."""
    return BACKENDS[choice.spec.backend](choice)
