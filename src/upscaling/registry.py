"""The backends: an explicit list. One more upscaler is a spec in `configs/upscalers/`, and a line here where it needs
code of its own.
"""

from collections.abc import Callable

from src.upscaling.backends import Backend, UpscalerChoice


def _network(choice: UpscalerChoice) -> Backend:
    from src.upscaling.network_backend import NetworkBackend

    return NetworkBackend(choice)


BACKENDS: dict[str, Callable[[UpscalerChoice], Backend]] = {"network": _network}
"""What runs an upscaler, by the name that its spec has for it. Each imports its own network when it is called."""


def load_backend(choice: UpscalerChoice) -> Backend:
    """The backend of a choice, loaded. Raises as `UpscalerChoice.files` does."""
    return BACKENDS[choice.spec.backend](choice)
