"""The super-resolution network: frames of one shot in, the same frames enlarged out.

    3D convolution -> blocks -> half size: align neighbours -> fuse -> window attention -> blocks ->
         pixel shuffle frames t-1..t+1                    t-1 and t+1 to t
                 + bicubic of frame t

A window of 2 x 2 + 1 frames decides one output frame, and windows slide by one. They share
everything up to the alignment: `features` are computed once a frame, not once a window, and
`decode` needs those of three frames.
The first and the last frame of a shot stand in for the frames beyond it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.upscaling.alignment import DeformableAlignment
from src.upscaling.attention import WindowBlock
from src.upscaling.presets import NetworkSpec

CONDITIONS = 2
"""What a frame is told besides its pixels: how noisy it is and how blocky, 0 to 1 each."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions on a residual. hidden: channels between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, width, 3, padding=1)
        self.act = nn.PReLU(hidden, init=0.1)
        nn.init.normal_(self.second.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(self.first(x))).add_(x)


class Modulation(nn.Module):
    """Scales and shifts features by the conditions; at first it changes nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(CONDITIONS, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.linear(condition)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, x, 1 + scale)


class VideoNetwork(nn.Module):
    """The network of a spec; the parts stand at the top of the module."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        width, trunk = spec.channels, spec.trunk
        self.head = nn.Conv3d(3, width, 3, padding=(0, 1, 1))
        self.told_before, self.told_after = Modulation(width), Modulation(width)
        self.before = nn.Sequential(*[ResidualBlock(width, spec.inner) for _ in range(spec.blocks)])
        self.down = nn.Conv2d(4 * width, trunk, 1)
        if spec.align:
            self.align = DeformableAlignment(spec)
            self.fuse = nn.Conv2d(3 * trunk, trunk, 1)
        self.attend = nn.Sequential(
            *[WindowBlock(trunk, spec.heads, spec.window) for _ in range(spec.attention)]
        )
        self.up = nn.Conv2d(trunk, 4 * width, 1)
        self.after = nn.Sequential(*[ResidualBlock(width, spec.inner) for _ in range(spec.blocks)])
        self.tail = nn.Conv2d(width, 3 * spec.scale**2, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=0.01)
        nn.init.zeros_(self.tail.bias)

    def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
        """frames: (B, T, 3, H, W) in [0, 1], any H and W; condition: (B, 2). Gives (B, T, 3, sH,
        sW), not clipped.
        """
        height, width = frames.shape[-2:]
        padded = pad_to_grid(frames, self.spec.grid)
        scale = self.spec.scale
        return self.on_grid(padded, condition)[..., : scale * height, : scale * width]

    def on_grid(self, frames: Tensor, condition: Tensor) -> Tensor:
        """`forward` for frames whose height and width are multiples of the grid."""
        b, t, _, height, width = frames.shape
        told = condition.repeat_interleave(t, 0)
        stacked = with_neighbours(frames).flatten(0, 1)
        x, y = self.features(stacked, told)
        clips = y.unflatten(0, (b, t))
        before, after = previous(clips).flatten(0, 1), following(clips).flatten(0, 1)
        out = self.decode(frames.flatten(0, 1), x, (before, y, after), told)
        return out.reshape(b, t, 3, self.spec.scale * height, self.spec.scale * width)

    def features(self, stacked: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """What a frame gives by itself: at full size (N, C, H, W), and at half size for the trunk
        (N, D, H/2, W/2).

        stacked: (N, 9, H, W), each frame between the one before and the one after; told: (N, 2).
        """
        x = self.before(self.told_before(F.leaky_relu(self.encode(stacked), 0.1), told))
        return x, self.down(F.pixel_unshuffle(x, 2))

    def encode(self, stacked: Tensor) -> Tensor:
        """The 3D convolution, as one 2D convolution over three stacked frames: the same sums, and
        faster.
        """
        weight = self.head.weight.transpose(1, 2).flatten(1, 2)
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        return F.conv2d(
            stacked, weight.contiguous(memory_format=torch.channels_last), self.head.bias, padding=1
        )

    def decode(
        self, frames: Tensor, x: Tensor, around: tuple[Tensor, Tensor, Tensor], told: Tensor
    ) -> Tensor:
        """The enlarged frames (N, 3, sH, sW) from frames (N, 3, H, W), their features, and those at
        half size of the frame before, of the frame itself and of the frame after.
        """
        x = F.pixel_shuffle(self.up(self.trunk(*around)), 2).add_(x)
        x = self.tail(self.after(self.told_after(x, told)))
        return self.skip(frames.float()).add_(F.pixel_shuffle(x, self.spec.scale))

    def trunk(self, before: Tensor, y: Tensor, after: Tensor) -> Tensor:
        """Alignment, fusion and attention at half size: three (N, D, H/2, W/2) to one."""
        if not self.spec.align:
            return self.attend(y)
        fused = self.fuse(torch.cat([y, self.align(y, before), self.align(y, after)], 1)).add_(y)
        return self.attend(fused)

    def skip(self, frames: Tensor) -> Tensor:
        """The bicubic enlargement of (N, 3, H, W) that the network adds detail to."""
        return F.interpolate(
            frames, scale_factor=self.spec.scale, mode="bicubic", align_corners=False
        )


def previous(frames: Tensor) -> Tensor:
    """At each place of dimension 1 what stood one before; the first repeats."""
    return torch.cat([frames[:, :1], frames[:, :-1]], 1)


def following(frames: Tensor) -> Tensor:
    """At each place of dimension 1 what stands one after; the last repeats."""
    return torch.cat([frames[:, 1:], frames[:, -1:]], 1)


def with_neighbours(frames: Tensor) -> Tensor:
    """(B, T, 3, H, W) to (B, T, 9, H, W): each frame between the one before and the one after."""
    return torch.cat([previous(frames), frames, following(frames)], 2)


def pad_to_grid(frames: Tensor, grid: int) -> Tensor:
    """(B, T, 3, H, W) with its last row and column repeated up to multiples of the grid."""
    height, width = frames.shape[-2:]
    below, right = -height % grid, -width % grid
    if not (below or right):
        return frames
    return F.pad(frames.flatten(0, 1), (0, right, 0, below), mode="replicate").unflatten(
        0, frames.shape[:2]
    )


def build_network(spec: NetworkSpec) -> VideoNetwork:
    """An untrained network with its convolutions stored channels last."""
    network = VideoNetwork(spec)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network
