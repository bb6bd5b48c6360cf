"""Whether a form gives what torch gives in float32: the proof that a build needs before it enters
the cache.

Clips of three sizes, none of them one that a graph is exported at, are cut from photographs that
nothing is trained on (`src/scenes/photographs.py: HELD_OUT`); the camera pans.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import ceil, inf

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.core.errors import BadInputError
from src.scenes.photographs import load_training_photograph
from src.upscaling.builds.forms import Form, TorchForm, enlarge_with
from src.upscaling.network import VideoNetwork

FRAMES = 5
SIZES = (("cat", 4, 6), ("astronaut", 6, 4), ("rocket", 3, 8))
"""Photograph, height and width of the source in windows of the grid."""
PAN = (1, 3)
"""Rows and columns of the true clip that the camera moves by from frame to frame."""
EQUAL = 1e-5
"""Of 1.0: how far a pixel in float32 may be from torch's."""
LOSS, FLICKER = 0.05, 0.02
"""dB that other precisions may be worse, and the share that they may flicker more."""


@dataclass(frozen=True)
class Difference:
    """worst: largest distance of a pixel from torch in float32, of 1.0. loss: dB of PSNR against
    the truth, at the size where it is largest; below 0 where a form is better. flicker: by which
    share the error changes more from frame to frame, the same.
    """

    worst: float
    loss: float
    flicker: float

    def check(self, name: str, precision: str) -> None:
        """Raise BadInputError where that is more than a form of this precision may differ."""
        if precision == "fp32" and self.worst > EQUAL:
            raise BadInputError(f"{name} differs from torch by {self.worst:.1g} of 1.0; {_ADVICE}")
        if not (self.loss <= LOSS and self.flicker <= FLICKER):
            raise BadInputError(
                f"{name} loses {self.loss:.3f} dB and flickers {self.flicker:+.1%} against torch; "
                f"{LOSS} dB and {FLICKER:.0%} are allowed, so {_ADVICE}"
            )

    @property
    def words(self) -> str:
        return f"{self.worst:.1g} at worst, {self.loss:+.4f} dB, flicker {self.flicker:+.2%}"

    def facts(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


_ADVICE = "it is not used: take another --runtime or --precision"


def compare_form(form: Form, network: VideoNetwork) -> Difference:
    """A form beside torch in float32 on the held-out clips. Numbers that are not finite are an
    infinite difference.
    """
    found = [_compare(form, network, *size) for size in SIZES]
    return Difference(*(max(each) for each in zip(*found, strict=True)))


def _compare(
    form: Form, network: VideoNetwork, name: str, high: int, wide: int
) -> tuple[float, float, float]:
    spec, device = network.spec, next(network.parameters()).device
    truth, low = moving_clip(name, high * spec.grid, wide * spec.grid, spec.scale)
    told = torch.zeros(1, 2, device=device)
    want = enlarge_with(TorchForm(network), low.to(device), told).cpu()
    made = enlarge_with(form, low.to(device), told).cpu()
    if not bool(torch.isfinite(made).all()):
        return inf, inf, inf
    return (
        float((made - want).abs().max()),
        _psnr(want, truth) - _psnr(made, truth),
        _flicker(made, truth) / max(_flicker(want, truth), 1e-9) - 1,
    )


@lru_cache(maxsize=len(SIZES))
def moving_clip(name: str, height: int, width: int, scale: int) -> tuple[Tensor, Tensor]:
    """(F, 3, sH, sW) and what is left of it at (F, 3, H, W), both in [0, 1]."""
    size, room = (scale * height, scale * width), [(FRAMES - 1) * step for step in PAN]
    whole = _at_least(load_training_photograph(name), size[0] + room[0], size[1] + room[1])
    first = (whole.height - size[0] - room[0]) // 2, (whole.width - size[1] - room[1]) // 2
    truth, low = [], []
    for t in range(FRAMES):
        top, left = (begin + t * step for begin, step in zip(first, PAN, strict=True))
        frame = whole.crop((left, top, left + size[1], top + size[0]))
        truth.append(np.asarray(frame))
        low.append(np.asarray(frame.resize((width, height), Image.Resampling.BICUBIC)))
    return _tensor(truth), _tensor(low)


def _at_least(picture: np.ndarray, height: int, width: int) -> Image.Image:
    """The photograph, enlarged where it is smaller than that."""
    whole, factor = Image.fromarray(picture), max(height / len(picture), width / picture.shape[1])
    if factor <= 1:
        return whole
    return whole.resize((ceil(factor * whole.width), ceil(factor * whole.height)))


def _tensor(frames: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def _psnr(made: Tensor, truth: Tensor) -> float:
    """dB over the colours of a clip."""
    error = (made.clamp(0, 1) - truth).square().mean()
    return float(-10 * torch.log10(error.clamp_min(1e-12)))


def _flicker(made: Tensor, truth: Tensor) -> float:
    """Mean change of the error from frame to frame, of 1.0: the motion itself is the truth's."""
    return float((made - truth).diff(dim=0).abs().mean())
