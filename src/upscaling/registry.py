"""What brings the frames of a clip to a size: an explicit list."""

from src.core.errors import BadInputError
from src.upscaling.files import LANCZOS
from src.upscaling.lanczos import LanczosUpscaler
from src.upscaling.presets import PRESETS
from src.upscaling.protocol import Upscaler

UPSCALERS = (LANCZOS, *PRESETS)


def make_upscaler(name: str, device: str = "cpu") -> Upscaler:
    """The upscaler called `name`; raises BadInputError with the list of known ones."""
    if name not in UPSCALERS:
        raise BadInputError(f"unknown upscaler {name!r}; known: {', '.join(UPSCALERS)}")
    if name == LANCZOS:
        return LanczosUpscaler()
    from src.upscaling.clips import NetworkUpscaler

    return NetworkUpscaler(name, device)
