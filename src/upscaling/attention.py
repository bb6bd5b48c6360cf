"""Transformer blocks whose windows lie on a grid that begins at the frame's corner: cost linear in
pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowBlock(nn.Module):
    """Attention inside each window, then a feed-forward with a 3x3 depthwise convolution that
    crosses windows.

    Features (N, D, H, W) with H and W multiples of the window; a learned bias for each relative
    place (Liu et al., "Swin Transformer", ICCV 2021) instead of position codes, so that any frame
    size works. heads: 0 leaves the attention out.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm2 = nn.LayerNorm(width)
        if heads:
            self.norm1 = nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
            self.register_buffer("relative", _relative_places(window), persistent=False)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.local = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        if self.heads:
            x = x + self._attend(self.norm1(x))
        return (x + self._mix(self.norm2(x))).permute(0, 3, 1, 2)

    def _attend(self, x: Tensor) -> Tensor:
        n, height, width, depth = x.shape
        side = self.window
        tiles = x.reshape(n, height // side, side, width // side, side, depth).transpose(2, 3)
        tokens = tiles.reshape(-1, side * side, depth)
        q, k, v = (
            self.qkv(tokens)
            .reshape(tokens.shape[0], side * side, 3, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        bias = self.bias[:, self.relative].to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        tokens = self.out(seen.transpose(1, 2).reshape(tokens.shape))
        tiles = tokens.reshape(n, height // side, width // side, side, side, depth)
        return tiles.transpose(2, 3).reshape(n, height, width, depth)

    def _mix(self, x: Tensor) -> Tensor:
        wide = self.widen(x).permute(0, 3, 1, 2)
        wide = F.gelu(wide + self.local(wide), approximate="tanh")
        return self.narrow(wide.permute(0, 2, 3, 1))


def _relative_places(window: int) -> Tensor:
    """Which bias joins each pair of places in a window: (window^2, window^2) int64."""
    steps = torch.arange(window)
    places = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).flatten(1)
    apart = places[:, :, None] - places[:, None, :] + window - 1
    return apart[0] * (2 * window - 1) + apart[1]
