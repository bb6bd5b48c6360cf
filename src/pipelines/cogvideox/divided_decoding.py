"""Decoding by several processes: the stock pieces or tiles, each computed by one of them.

Whole pictures: process i decodes pieces i, i + N, ... . A piece needs what each causal convolution
saw last in the piece before (its history), and nothing else of it; so a convolution hands its
history on as soon as it has it, and the process with the next piece follows one layer behind. Every
number is computed as in one process from the same numbers: the frames are equal bit for bit. A
decoder without history (the embedded model's) hands on nothing. Tiles depend on each other in
nothing, and are blended by the first process as diffusers blends them: equal bit for bit too.

The first process gets all pixels before it yields a frame: the others are then done with the clip,
however long its frames take to enlarge and encode.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from torch import Tensor, nn

from src.core.errors import CancelledError
from src.core.progress import CancelToken, Listener, Progress
from src.pipelines.cogvideox.decoding import decoded, enable_tiling, piece_bounds
from src.pipelines.cogvideox.fast_vae import sees_frames_alone
from src.pipelines.parallel.ranks import Ranks
from src.pipelines.pixels import to_uint8


@torch.no_grad()
def decode_divided(
    pipe: Any,
    latents: Tensor,
    listener: Listener,
    cancel: CancelToken,
    tiling: bool,
    ranks: Ranks,
) -> Iterator[np.ndarray]:
    """As `decoding.decode` in the first process; the others yield nothing."""
    vae = pipe.vae
    z = 1 / pipe.vae_scaling_factor_image * latents.permute(0, 2, 1, 3, 4)
    way = _by_tiles if tiling else _by_pieces
    yield from way(vae, z, listener, cancel, ranks)


def _by_pieces(
    vae: Any, z: Tensor, listener: Listener, cancel: CancelToken, ranks: Ranks
) -> Iterator[np.ndarray]:
    spans = list(piece_bounds(vae.num_latent_frames_batch_size, z.shape[2]))
    made: dict[int, np.ndarray] = {}
    with History(vae.decoder, ranks, len(spans)) as history:
        for first in range(0, len(spans), ranks.count):
            cancel.check()
            number = first + ranks.rank
            if number < len(spans):
                begin, end = spans[number]
                part = z[:, :, begin:end]
                part = part if vae.post_quant_conv is None else vae.post_quant_conv(part)
                history.piece = number
                made[number] = to_uint8(vae.decoder(part)[0])
            listener(Progress("decode", min(first + ranks.count, len(spans)), len(spans)))
    yield from _collected(made, ranks)


def _collected(made: dict[int, Any], ranks: Ranks) -> Iterator[Any]:
    """What all processes made, in order, in the first one."""
    everything: list[Any] | None = [None] * ranks.count if ranks.rank == 0 else None
    distributed.gather_object(made, everything)
    whole = {number: part for each in everything or () for number, part in each.items()}
    yield from (whole[number] for number in sorted(whole))


class History:
    """While it lasts, causal convolutions take their history from the process with the piece before
    and hand theirs to the one with the next.

    piece: that this process is at. Each hop has a group of its own, so that what goes on never
    waits for what comes back.
    """

    def __init__(self, decoder: nn.Module, ranks: Ranks, count: int) -> None:
        self.ranks, self.count, self.piece = ranks, count, 0
        self._convolutions = [] if sees_frames_alone(decoder) else _looking_back(decoder)
        self._hooks: list[Any] = []
        self._sent: list[tuple[int, Any, Tensor]] = []

    def __enter__(self) -> "History":
        for convolution in self._convolutions:
            self._hooks.append(convolution.register_forward_pre_hook(self._take, with_kwargs=True))
            self._hooks.append(convolution.register_forward_hook(self._give))
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        cancelled = kind is not None and issubclass(kind, CancelledError)
        if cancelled and self.ranks.rank == 0:
            self._take_the_rest()
        if cancelled or kind is None:
            for _piece, work, _tensor in self._sent:
                work.wait()
        self._sent.clear()

    def _take_the_rest(self) -> None:
        """Of a clip that ends between two rounds: what the last process handed on to the first one,
        in the shapes of its own. Left there, it would be taken for the next clip's.
        """
        last = self.ranks.count - 1
        for piece, _work, history in self._sent:
            if piece == self.piece:
                distributed.recv(torch.empty_like(history), last, group=self.ranks.hop(last))

    def _take(
        self, module: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
        if self.piece == 0:
            return args, kwargs
        f = args[0]
        batch, channels, _, height, width = f.shape
        # the order in memory that convolutions with channels last leave
        found = f.new_empty((batch, module.time_kernel_size - 1, height, width, channels))
        before = (self.ranks.rank - 1) % self.ranks.count
        distributed.recv(found, before, group=self.ranks.hop(before))
        return args[:1], kwargs | {"conv_cache": found.movedim(-1, 1)}

    def _give(self, _: nn.Module, __: Any, made: tuple[Tensor, Tensor]) -> None:
        if self.piece == self.count - 1:
            return
        history = made[1].movedim(1, -1).contiguous()
        after = (self.ranks.rank + 1) % self.ranks.count
        self.ranks.sent += history.nbytes
        work = distributed.isend(history, after, group=self.ranks.hop(self.ranks.rank))
        self._sent.append((self.piece, work, history))


def _looking_back(decoder: nn.Module) -> list[CogVideoXCausalConv3d]:
    causal = [part for part in decoder.modules() if isinstance(part, CogVideoXCausalConv3d)]
    return [part for part in causal if part.time_kernel_size > 1 and part.pad_mode != "replicate"]


def _by_tiles(
    vae: Any, z: Tensor, listener: Listener, cancel: CancelToken, ranks: Ranks
) -> Iterator[np.ndarray]:
    """Tiles as `AutoencoderKLCogVideoX.tiled_decode` cuts them, process i decoding each Nth."""
    enable_tiling(vae, *z.shape[-2:])
    try:
        corners = _corners(vae, z)
        made: dict[int, Tensor] = {}
        for first in range(0, len(corners), ranks.count):
            cancel.check()
            number = first + ranks.rank
            if number < len(corners):
                top, left = corners[number]
                tile = z[..., top : top + vae.tile_latent_min_height,
                         left : left + vae.tile_latent_min_width]  # fmt: skip
                parts = decoded(vae, tile, lambda _: None, CancelToken())
                made[number] = torch.cat(list(parts), dim=2).cpu()
            listener(Progress("decode", min(first + ranks.count, len(corners)), len(corners)))
        tiles = [tile.to(z.device) for tile in _collected(made, ranks)]
        if tiles:
            yield to_uint8(_blended(vae, tiles, len({left for _, left in corners})))
    finally:
        vae.disable_tiling()


def _corners(vae: Any, z: Tensor) -> list[tuple[int, int]]:
    """Top and left of each tile, row by row."""
    height, width = z.shape[-2:]
    down = int(vae.tile_latent_min_height * (1 - vae.tile_overlap_factor_height))
    across = int(vae.tile_latent_min_width * (1 - vae.tile_overlap_factor_width))
    return [(top, left) for top in range(0, height, down) for left in range(0, width, across)]


def _blended(vae: Any, tiles: list[Tensor], columns: int) -> Tensor:
    """The picture of tiles, row by row; each is blended with the one above and the one before, in
    place, so that the order matters.
    """
    tall = int(vae.tile_sample_min_height * vae.tile_overlap_factor_height)
    wide = int(vae.tile_sample_min_width * vae.tile_overlap_factor_width)
    for number, tile in enumerate(tiles):
        if number >= columns:
            vae.blend_v(tiles[number - columns], tile, tall)
        if number % columns:
            vae.blend_h(tiles[number - 1], tile, wide)
    kept = [
        tile[..., : vae.tile_sample_min_height - tall, : vae.tile_sample_min_width - wide]
        for tile in tiles
    ]
    rows = [torch.cat(kept[at : at + columns], dim=4) for at in range(0, len(kept), columns)]
    return torch.cat(rows, dim=3)
