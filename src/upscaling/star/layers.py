"""The layers of a STAR network, under the names that its checkpoints have for them.

Frames are a batch, (F, C, h, w), of one clip; layers over time see it as (1, C, F, h, w).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.upscaling.star.spec import StarSpec

TOKENS = 1 << 16
"""Tokens that go through a transformer block at once:
rows are independent, so this is memory only.
"""
MOST_ROWS = 8192
"""Rows of attention at once: kernels on GPUs take no more than 65,535 sequences."""
TRANSFORMER_EPS = 1e-6


def over_time(frames: Tensor) -> Tensor:
    """(F, C, h, w) as (1, C, F, h, w)."""
    return frames.transpose(0, 1)[None]


def frame_by_frame(clip: Tensor) -> Tensor:
    """(1, C, F, h, w) as (F, C, h, w)."""
    return clip[0].transpose(0, 1)


class TimeConvolutions(nn.Module):
    """Four convolutions of three frames each, on a residual."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_normed(width, groups), _time_convolution(width))
        for name in ("conv2", "conv3", "conv4"):
            layers = (*_normed(width, groups), nn.Identity(), _time_convolution(width))
            setattr(self, name, nn.Sequential(*layers))

    def forward(self, clip: Tensor) -> Tensor:
        """(1, C, F, h, w) to the same; the norms see all frames."""
        return clip + self.conv4(self.conv3(self.conv2(self.conv1(clip))))


def _normed(width: int, groups: int) -> tuple[nn.Module, nn.Module]:
    return nn.GroupNorm(groups, width), nn.SiLU()


def _time_convolution(width: int) -> nn.Conv3d:
    return nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))


class ResBlock(nn.Module):
    """Two convolutions of each frame, told the time of diffusion, then those over frames."""

    def __init__(self, spec: StarSpec, width: int, out: int) -> None:
        super().__init__()
        groups = spec.groups
        self.in_layers = nn.Sequential(*_normed(width, groups), nn.Conv2d(width, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * spec.dim, out))
        second = nn.Conv2d(out, out, 3, padding=1)
        self.out_layers = nn.Sequential(*_normed(out, groups), nn.Identity(), second)
        self.skip_connection = nn.Identity() if width == out else nn.Conv2d(width, out, 1)
        self.temopral_conv = TimeConvolutions(out, groups)  # as checkpoints spell it

    def forward(self, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """frames: (F, C, h, w); time: (1, 4 dim)."""
        made = self.in_layers(frames) + self.emb_layers(time)[..., None, None]
        made = self.skip_connection(frames) + self.out_layers(made)
        return frame_by_frame(self.temopral_conv(over_time(made)))


class CrossAttention(nn.Module):
    """Attention with heads; keys and values of a context, or of the tokens themselves."""

    def __init__(self, width: int, head: int, context: int | None = None) -> None:
        super().__init__()
        self.head = head
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context or width, width, bias=False)
        self.to_v = nn.Linear(context or width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """tokens: (B, N, C); context: (1 or B, M, K)."""
        told = tokens if context is None else context.expand(len(tokens), -1, -1)
        query, key, value = (
            self._heads(x) for x in (self.to_q(tokens), self.to_k(told), self.to_v(told))
        )
        made = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(made.transpose(1, 2).flatten(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (-1, self.head)).transpose(1, 2)


class GatedProjection(nn.Module):
    """A projection times the GELU of another."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * out)

    def forward(self, tokens: Tensor) -> Tensor:
        made, gate = self.proj(tokens).chunk(2, dim=-1)
        return made * F.gelu(gate)


class FeedForward(nn.Module):
    """Four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = nn.Linear(4 * width, width)
        self.net = nn.Sequential(GatedProjection(width, 4 * width), nn.Identity(), narrow)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(tokens)


class SpaceGate(nn.Module):
    """Weighs places of a frame by the largest and the mean of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, tokens: Tensor, shape: tuple[int, int]) -> Tensor:
        """tokens: (B, h w, C), of frames of this shape."""
        told = torch.stack([tokens.amax(-1), tokens.mean(-1)], 1).unflatten(-1, shape)
        return torch.sigmoid(self.conv1(told)).flatten(2).transpose(1, 2) * tokens


class TimeGate(nn.Module):
    """Weighs frames at a place by the largest and the mean of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Linear(2, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        told = torch.stack([tokens.amax(-1), tokens.mean(-1)], -1)
        return torch.sigmoid(self.conv1(told)) * tokens


class _Block(nn.Module):
    """Two attentions and a feed-forward layer, each on a residual."""

    def __init__(self, width: int, head: int, context: int | None) -> None:
        super().__init__()
        self.attn1, self.attn2 = CrossAttention(width, head), CrossAttention(width, head, context)
        self.ff = FeedForward(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))


class SpaceBlock(_Block):
    """Within a frame: gated self-attention, then attention to the text."""

    def __init__(self, width: int, spec: StarSpec) -> None:
        super().__init__(width, spec.head, spec.context)
        self.local1 = SpaceGate()

    def forward(self, tokens: Tensor, shape: tuple[int, int], text: Tensor) -> Tensor:
        tokens = tokens + self.attn1(self.norm1(self.local1(tokens, shape)))
        tokens = tokens + self.attn2(self.norm2(tokens), text)
        return tokens + self.ff(self.norm3(tokens))


class TimeBlock(_Block):
    """Over the frames at a place: gated self-attention, twice."""

    def __init__(self, width: int, spec: StarSpec) -> None:
        super().__init__(width, spec.head, None)
        self.local1, self.local2 = TimeGate(), TimeGate()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn1(self.norm1(self.local1(tokens)))
        tokens = tokens + self.attn2(self.norm2(self.local2(tokens)))
        return tokens + self.ff(self.norm3(tokens))


class SpaceTransformer(nn.Module):
    """CrossAttention within each frame, on a residual."""

    def __init__(self, spec: StarSpec, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(spec.groups, width, eps=TRANSFORMER_EPS)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([SpaceBlock(width, spec)])

    def forward(self, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """frames: (F, C, h, w); text: (1, N, context)."""
        shape = (frames.shape[2], frames.shape[3])
        tokens = self.norm(frames).flatten(2).transpose(1, 2)
        made = _in_rows(tokens, shape[0] * shape[1], lambda rows: self._rows(rows, shape, text))
        return frames + made.transpose(1, 2).unflatten(2, shape)

    def _rows(self, tokens: Tensor, shape: tuple[int, int], text: Tensor) -> Tensor:
        return self.proj_out(self.transformer_blocks[0](self.proj_in(tokens), shape, text))


class TimeTransformer(nn.Module):
    """Attention over the frames at each place, on a residual; inner: its width."""

    def __init__(self, spec: StarSpec, width: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or width
        self.norm = nn.GroupNorm(spec.groups, width, eps=TRANSFORMER_EPS)
        self.proj_in, self.proj_out = nn.Conv1d(width, inner, 1), nn.Conv1d(inner, width, 1)
        self.transformer_blocks = nn.ModuleList([TimeBlock(inner, spec)])

    def forward(self, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """frames: (F, C, h, w); the norm sees all of them."""
        shape = (frames.shape[2], frames.shape[3])
        normed = self.norm(over_time(frames))[0]
        places = normed.flatten(2).permute(2, 0, 1)  # (h w, C, F)
        made = _in_rows(places, len(frames), self._rows)
        return frames + made.permute(2, 1, 0).unflatten(2, shape)

    def _rows(self, places: Tensor) -> Tensor:
        tokens = self.transformer_blocks[0](self.proj_in(places).transpose(1, 2))
        return self.proj_out(tokens.transpose(1, 2))


def _in_rows(batch: Tensor, tokens: int, work: Callable[[Tensor], Tensor]) -> Tensor:
    """`work` on so many rows of the batch, of `tokens` each, as hold TOKENS; its results joined."""
    count = min(MOST_ROWS, max(1, TOKENS // tokens))
    if len(batch) <= count:
        return work(batch)
    return torch.cat([work(rows) for rows in batch.split(count)])


class Down(nn.Module):
    """Half the size; one more row of nothing above and below than usual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=(2, 1))

    def forward(self, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
        return self.op(frames)


class Up(nn.Module):
    """Twice the size, without the first and the last row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, frames: Tensor, time: Tensor, text: Tensor) -> Tensor:
        large = F.interpolate(frames, scale_factor=2, mode="nearest")
        return self.conv(large[..., 1:-1, :])
