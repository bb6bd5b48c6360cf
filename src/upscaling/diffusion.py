"""What backends that denoise share: where their weights lie, and how their schedule is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from src.core.errors import BadInputError
from src.core.text import read_json
from src.pipelines.placement import stream
from src.upscaling.fitting import Fit


class Placement:
    """A VAE, and what denoises, which streams where it does not fit. level: what streams at once,
    as diffusers names it.
    """

    def __init__(self, vae: Any, denoiser: Any, device: torch.device, level: str) -> None:
        self.vae, self.denoiser, self.device, self.level = vae, denoiser, device, level
        self._streams: bool | None = None

    def place(self, fitted: Fit) -> None:
        """Have the weights where they are needed; once they stream, they go on streaming."""
        if self._streams or self._streams == fitted.offload:
            return
        self.vae.to(self.device)
        if fitted.offload:
            stream(self.denoiser, self.device, self.level)
        else:
            self.denoiser.to(self.device)
        self._streams = fitted.offload


def read_scheduler(path: Path, make: Callable[[dict[str, Any]], Any]) -> Any:
    """The scheduler of a configuration. Raises BadInputError where `make` makes none of it."""
    config = read_json(path)
    try:
        if not isinstance(config, dict):
            raise TypeError(f"it holds a {type(config).__name__}")
        return make(config)
    except (OSError, TypeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"{path} is no scheduler's: {reason}") from None
