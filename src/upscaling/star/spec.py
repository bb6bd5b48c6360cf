"""How wide a STAR network is: the published one, or a small one of the same build."""

from src.core.config import Config

FRAME_FACTOR = 8
"""Pixels of a frame for each place of the latents."""
ROWS, COLUMNS = (2, 8), (0, 8)
"""What rows and columns of latents must be: (remainder, divisor). Rows are cut at each of the three
steps up, so that only 2 modulo 8 comes out as it went in.
"""


class StarSpec(Config):
    """Widths of a network; the defaults are the published one's.

    dim: channels at full size; 1, 2, 4 and 4 times as many at the four sizes. context: width of the
    text. head: channels of a head of attention. heads: of the first attention over time, whose
    width is heads * head. groups: of every group norm. channels: of the latents.
    """

    dim: int = 320
    context: int = 1024
    head: int = 64
    heads: int = 8
    groups: int = 32
    channels: int = 4

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels at the four sizes."""
        return self.dim, 2 * self.dim, 4 * self.dim, 4 * self.dim


def fitting(places: int, rule: tuple[int, int]) -> int:
    """The smallest count of rows or columns that is at least `places` and keeps the rule."""
    remainder, divisor = rule
    return max(0, -(-(places - remainder) // divisor)) * divisor + remainder or divisor
