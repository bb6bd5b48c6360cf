"""The sizes of the network."""

from src.core.config import Config
from src.core.errors import BadInputError

SCALES = (2, 4)
"""What a network does in one pass; 8x is a cascade of 2x and 4x."""


class NetworkSpec(Config):
    """The shape of one network.

    scale: 2 or 4. channels: of the features at the source's size. blocks: residual blocks before
    and after the trunk. trunk: channels at half size, where frames are aligned and attention works.
    taps: side of the deformable kernel. groups: of channels that share offsets. bound: largest
    offset, in pixels at half size. align: channels that are sampled; with 0 no neighbour is
    aligned, and frames beside a frame count through the 3D convolution alone. attention:
    transformer blocks. heads: of each; with 0 a block has no attention, only what crosses windows.
    window: side of an attention window at half size. hidden: channels inside a residual block, 0
    for `channels`.
    """

    scale: int
    channels: int
    blocks: int
    trunk: int
    taps: int
    groups: int
    bound: float
    align: int
    attention: int
    heads: int
    window: int = 8
    hidden: int = 0

    @property
    def inner(self) -> int:
        """Channels inside a residual block."""
        return self.hidden or self.channels

    @property
    def grid(self) -> int:
        """Pixels of the source to one attention window:
        tiles and padding keep to multiples of it.
        """
        return 2 * self.window

    @property
    def context(self) -> int:
        """Frames to either side that a frame depends on: one through the 3D convolution, one
        through alignment.
        """
        return 1 + self.aligned

    @property
    def aligned(self) -> int:
        """Neighbours to either side that are aligned, 0 or 1."""
        return int(self.align > 0)

    @property
    def halo(self) -> int:
        """Pixels of the source to either side that a pixel can depend on,
        rounded up to the grid.
        """
        convolutions = 1 + 2 * self.blocks  # the 3D convolution and the blocks before the trunk
        aligned = 2 * (2 + int(self.bound) + 1 + self.taps // 2) * self.aligned
        attended = self.attention * ((self.grid - 1 if self.heads else 0) + 2)
        after = 2 * self.blocks + 1
        reach = convolutions + 1 + aligned + attended + 1 + after
        return -(-reach // self.grid) * self.grid


_SIZES = {
    "fast": {"channels": 32, "blocks": 1, "hidden": 24, "trunk": 32, "taps": 1, "groups": 4,
             "bound": 6.0, "align": 0, "attention": 1, "heads": 0, "window": 4},
    "balanced": {"channels": 48, "blocks": 2, "trunk": 48, "taps": 3, "groups": 4, "bound": 8.0,
                 "align": 16, "attention": 2, "heads": 3},
}  # fmt: skip
_SIZES["quality"] = _SIZES["balanced"] | {"blocks": 6, "attention": 4}  # so it can begin from it
_SIZES["nano"] = _SIZES["fast"]
PRESETS = tuple(_SIZES)


def network_spec(preset: str, scale: int) -> NetworkSpec:
    """The spec of `preset` at `scale`. Raises BadInputError naming what there is."""
    if preset not in _SIZES:
        raise BadInputError(f"--preset is {preset!r}; it must be one of: {', '.join(PRESETS)}")
    if scale not in SCALES:
        raise BadInputError(f"a network enlarges by 2 or 4, not by {scale}; 8 is a cascade of both")
    return NetworkSpec(scale=scale, **_SIZES[preset])
