"""Deformable alignment on `grid_sample`: a neighbour's features brought to where the frame has
them.

Modulated deformable convolution (Zhu et al., "Deformable ConvNets v2", CVPR 2019) as video
restoration uses it (Wang et al., "EDVR", CVPRW 2019), with offsets bounded by a tanh and
initialised to zero: at first every tap looks straight at its own place, and no offset ever leaves
the reach that tiles overlap by.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.upscaling.presets import NetworkSpec


class DeformableAlignment(nn.Module):
    """Brings the features of a neighbour frame to those of a frame: two (N, D, H, W) to one."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        width, middle = spec.trunk, max(16, spec.trunk // 2)
        self.groups, self.bound, self.taps = spec.groups, spec.bound, spec.taps**2
        self.register_buffer("places", _tap_places(spec.taps), persistent=False)
        self.value = nn.Conv2d(width, spec.align, 1)
        self.compare = nn.Conv2d(2 * width, middle, 3, padding=1)
        self.offsets = nn.Conv2d(middle, self.groups * self.taps * 3, 3, padding=1)
        self.merge = nn.Conv2d(spec.align * self.taps, width, 1)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, frame: Tensor, neighbour: Tensor) -> Tensor:
        flow, weight = self.look(frame, neighbour)
        return self.merge(sample_features(self.value(neighbour), flow, weight))

    def look(self, frame: Tensor, neighbour: Tensor) -> tuple[Tensor, Tensor]:
        """Where to look and how much to trust it.

        Returns:
            flow: (N, G, K, 2, H, W) pixels, x before y, within the bound of the tap's own place.
            weight: (N, G, K, H, W) in (0, 2), 1 at first.
        """
        n, _, height, width = frame.shape
        seen = self.offsets(F.leaky_relu(self.compare(torch.cat([frame, neighbour], 1)), 0.1))
        seen = seen.float().reshape(n, self.groups, self.taps, 3, height, width)
        flow = (
            self.bound * torch.tanh(seen[:, :, :, :2]) + self.places[None, None, :, :, None, None]
        )
        return flow, 2 * torch.sigmoid(seen[:, :, :, 2])


def sample_features(features: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """Features (N, C, H, W) read bilinearly at each pixel's own place plus `flow`, times `weight`:
    (N, C K, H, W).

    flow (N, G, K, 2, H, W) and weight (N, G, K, H, W) as `DeformableAlignment.look` gives them;
    beyond the border the border pixel is repeated.
    """
    n, groups, taps, _, height, width = flow.shape
    split = features.float().reshape(n * groups, -1, height, width)
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x = (columns + flow[:, :, :, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows + flow[:, :, :, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], -1).reshape(n * groups, taps * height, width, 2)
    read = F.grid_sample(split, grid, padding_mode="border", align_corners=True)
    read = read.reshape(n, groups, -1, taps, height, width) * weight[:, :, None]
    return read.reshape(n, -1, height, width).to(features.dtype)


def _tap_places(side: int) -> Tensor:
    """The regular places of the kernel's taps: (side * side, 2) pixels, x before y."""
    steps = torch.arange(side, dtype=torch.float32) - side // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)
