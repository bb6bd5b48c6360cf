"""The upscalers there are: an explicit list."""

from src.core.errors import BadInputError
from src.upscaling.lanczos import LanczosUpscaler
from src.upscaling.protocol import Upscaler

UPSCALERS: dict[str, type[Upscaler]] = {LanczosUpscaler.name: LanczosUpscaler}


def make_upscaler(name: str) -> Upscaler:
    """The upscaler called `name`; raises BadInputError with the list of known ones."""
    if name not in UPSCALERS:
        raise BadInputError(f"unknown upscaler {name!r}; known: {', '.join(UPSCALERS)}")
    return UPSCALERS[name]()
