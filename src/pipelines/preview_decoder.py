"""The preview decoder: a small network from a model's latents to small frames.

It computes at the resolution of the latents and turns channels into pixels once, at the end. Beside
the network runs the best linear map from one latent cell to its pixels (`fit_linear`): with the
network's last layer at zero the decoder is that map, as `LinearCodes.decode` is for codes in closed
form. A latent frame that stands for several frames is seen together with its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.family import Family
from src.pipelines.pixels import to_uint8
from src.pipelines.preview_files import VAE, PreviewFile, PreviewForm
from src.pipelines.saving import load_tensors, write_tensors

PIECE = 16
"""Latent frames that are decoded at once."""
RIDGE = 1e-6
"""Of the mean variance of a latent channel: what keeps the linear fit from dividing by nothing."""


class FrameBlock(nn.Module):
    """A residual block over frames; with neighbours it sees the frames before and after, too."""

    def __init__(self, width: int, neighbours: bool) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.mix = nn.Conv2d(3 * width if neighbours else width, width, 3, padding=1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.refine.weight)

    def forward(self, hidden: Tensor, frames: int) -> Tensor:
        """hidden: (B * frames, width, h, w)."""
        seen = _with_neighbours(hidden, frames) if self.neighbours else hidden
        return hidden + self.refine(F.relu(self.mix(F.relu(seen))))


def _with_neighbours(hidden: Tensor, frames: int) -> Tensor:
    """Each frame behind the one before and ahead of the one after; at the ends, itself."""
    clips = hidden.unflatten(0, (-1, frames))
    before = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
    after = torch.cat([clips[:, 1:], clips[:, -1:]], dim=1)
    return torch.cat([before, clips, after], dim=2).flatten(0, 1)


class PreviewDecoder(nn.Module):
    """Latents (B, C, F, h, w) in the VAE's own scale to frames (B, 3, r (F - 1) + 1, h s, w s) in
    about -1..1; r and s are the form's `frames` and `cell`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, form: PreviewForm) -> None:
        super().__init__()
        self.form = form
        made = 3 * form.frames * form.cell**2
        self.register_buffer("mean", torch.zeros(form.channels))
        self.register_buffer("deviation", torch.ones(form.channels))
        self.linear = nn.Conv2d(form.channels, made, 1)
        self.first = nn.Conv2d(form.channels, form.width, 3, padding=1)
        blocks = [FrameBlock(form.width, form.frames > 1) for _ in range(form.blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv2d(form.width, made, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, latents: Tensor) -> Tensor:
        return self.all_frames(latents)[:, :, self.form.frames - 1 :]

    def all_frames(self, latents: Tensor) -> Tensor:
        """As `forward`, with r frames for the first latent frame too: all but the last mean
        nothing."""
        cells = (latents - _column(self.mean)) / _column(self.deviation)
        count, frames = cells.shape[0], cells.shape[2]
        cells = cells.transpose(1, 2).flatten(0, 1)
        hidden = self.first(cells)
        for block in self.blocks:
            hidden = block(hidden, frames)
        return to_video(self.linear(cells) + self.last(F.relu(hidden)), self.form, count)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def to_video(cells: Tensor, form: PreviewForm, count: int) -> Tensor:
    """Each cell's pixels (B F, r 3 s s, h, w) as frames (B, 3, F r, h s, w s). count: B."""
    frames = F.pixel_shuffle(cells.unflatten(1, (form.frames, -1)).flatten(0, 1), form.cell)
    return frames.unflatten(0, (count, -1)).transpose(1, 2)


def to_cells(video: Tensor, form: PreviewForm) -> Tensor:
    """The way back: (B, 3, F r, h s, w s) to (B F, r 3 s s, h, w)."""
    cells = F.pixel_unshuffle(video.transpose(1, 2).flatten(0, 1), form.cell)
    return cells.unflatten(0, (-1, form.frames)).flatten(1, 2)


@torch.no_grad()
def fit_linear(decoder: PreviewDecoder, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Give the decoder, in place, the statistics of these latents and the linear map that is
    nearest to these frames in least squares.

    pairs: latents (1, C, F, h, w) and their small frames (1, 3, r (F - 1) + 1, h s, w s).
    """
    form = decoder.form
    latents = torch.cat([_rows(part.transpose(1, 2).flatten(0, 1)) for part, _ in pairs])
    pixels = torch.cat([_rows(to_cells(first_repeated(video, form), form)) for _, video in pairs])
    mean, deviation = latents.mean(0), latents.std(0).clamp_min(1e-6)
    scaled, wanted = (latents - mean) / deviation, pixels.mean(0)
    ridge = RIDGE * len(scaled) * torch.eye(form.channels, dtype=scaled.dtype)
    solved = torch.linalg.solve(scaled.T @ scaled + ridge, scaled.T @ (pixels - wanted))
    decoder.mean.copy_(mean)
    decoder.deviation.copy_(deviation)
    decoder.linear.weight.copy_(solved.T[:, :, None, None])
    assert decoder.linear.bias is not None
    decoder.linear.bias.copy_(wanted)


def _rows(cells: Tensor) -> Tensor:
    """(N, K, h, w) as (N h w, K) in double."""
    return cells.permute(0, 2, 3, 1).flatten(0, 2).double().cpu()


def first_repeated(video: Tensor, form: PreviewForm) -> Tensor:
    """The first frame repeated to be the r of its latent frame."""
    return torch.cat([video[:, :, :1]] * (form.frames - 1) + [video], dim=2)


@torch.no_grad()
def decode_preview(
    decoder: PreviewDecoder, latents: Tensor, listener: Listener, cancel: CancelToken
) -> Iterator[np.ndarray]:
    """Frames (n, H, W, 3) uint8 in order, of latents (1, C, F, h, w) in the VAE's own scale, piece
    by piece; cancelled between them. As `forward` gives them."""
    reach, count = decoder.form.reach, latents.shape[2]
    starts = range(0, count, PIECE)
    for number, begin in enumerate(starts, start=1):
        cancel.check()
        first, end = max(0, begin - reach), min(count, begin + PIECE)
        made = decoder.all_frames(latents[:, :, first : end + reach].to(decoder.mean))
        skipped = (begin - first) * decoder.form.frames + (0 if begin else decoder.form.frames - 1)
        yield to_uint8(made[:, :, skipped : (end - first) * decoder.form.frames])
        listener(Progress("decode", number, len(starts)))


def decoding(family: Family, decoder: PreviewDecoder) -> Callable[..., Iterator[np.ndarray]]:
    """As the family's `Loop.decode`, by this decoder; which needs no tiles."""

    def decoded(
        pipe: Any, latents: Tensor, listener: Listener, cancel: CancelToken, tiling: bool = False
    ) -> Iterator[np.ndarray]:
        return decode_preview(decoder, family.loop.vae_latents(pipe, latents), listener, cancel)

    return decoded


def save_preview(decoder: PreviewDecoder, vae_sha256: str, target: Path, step: int) -> Path:
    """Write it in float16, with what it is of. Raises OutputError."""
    about = {name: str(value) for name, value in decoder.form.model_dump().items()}
    about["step"] = str(step)
    tensors = {name: tensor.detach().half().cpu() for name, tensor in decoder.state_dict().items()}
    told = {f"newsreel_{name}": value for name, value in about.items()} | {VAE: vae_sha256}
    return write_tensors(tensors, target, told, "--export")


def load_preview(file: PreviewFile, device: str = "cpu") -> PreviewDecoder:
    """The decoder in float32. Raises BadInputError where the tensors are not those of its form."""
    from src.core.errors import BadInputError

    decoder = PreviewDecoder(file.form)
    try:
        decoder.load_state_dict(load_tensors(file.path))
    except RuntimeError as error:
        raise BadInputError(
            f"{file.path} is damaged: {' '.join(str(error).split())[:200]}"
        ) from None
    return decoder.eval().to(device)
