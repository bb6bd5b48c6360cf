"""The weights that a network begins with: those of another one, as far as they go."""

from __future__ import annotations

from torch import Tensor

from src.core.errors import BadInputError
from src.recipes.upscaler.narrowing import narrowed
from src.upscaling.network import VideoNetwork

CLOSING = ("second", "out", "narrow")
"""The last layers of what a block adds to its input."""


def weights_from(source: VideoNetwork, target: VideoNetwork) -> dict[str, Tensor]:
    """Every parameter of `target`: those of `source` where their shapes fit, its own elsewhere.

    Where it has less room and is alike besides they are fitted (`narrowing.py`); where it has more
    blocks, those add nothing at first. Raises BadInputError where no layer fits.
    """
    given, own = dict(source.named_parameters()), dict(target.named_parameters())
    fits = {name for name in given if name in own and given[name].shape == own[name].shape}
    _check_any(source, target, any(own[name].ndim > 1 for name in fits))
    made = {
        name: given[name].detach().clone()
        if name in fits
        else _own(name, value.detach(), of_both=name in given)
        for name, value in own.items()
    }
    return made | (narrowed(source, target) if _is_alike(source, target) else {})


def _own(name: str, value: Tensor, of_both: bool) -> Tensor:
    """Nought where a block that only the larger network has would add something."""
    closes = any(part in CLOSING for part in name.split("."))
    return value.clone() if of_both or not closes else value.new_zeros(value.shape)


def _check_any(source: VideoNetwork, target: VideoNetwork, fits: bool) -> None:
    if not fits:
        widths = [f"{each.spec.channels} and {each.spec.trunk}" for each in (source, target)]
        raise BadInputError(
            f"--start-from: no layer fits, {widths[0]} channels there and {widths[1]} here; give "
            "weights of the same widths, or none"
        )


def _is_alike(source: VideoNetwork, target: VideoNetwork) -> bool:
    """Whether the two have the same parts of the same widths, but for what a fit makes good."""
    return all(
        getattr(source.spec, name) == getattr(target.spec, name)
        for name in ("scale", "channels", "blocks", "trunk")
    )
