"""How a run is cut so that it fits: counted on the meta device, decided by what is free.

whole       network and VAE stay on the device
offloaded   each is there only while it computes
tiled       as offloaded, and pictures go through in tiles that overlap
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from src.core.errors import OutOfMemoryError
from src.pipelines.live_bytes import bytes_of, peak_of
from src.upscaling.star.codec import TOGETHER
from src.upscaling.star.spec import COLUMNS, FRAME_FACTOR, ROWS, StarSpec, fitting
from src.upscaling.star.windows import LENGTH, SHARED, STRETCHED

SAMPLES = ((34, 32), (90, 160), (122, 184))
"""Rows and columns of latents at which activations are counted."""
LEAST = fitting(2 * SHARED + 1, ROWS) * fitting(2 * SHARED + 1, COLUMNS)
"""Places of the smallest tile."""


@dataclass(frozen=True)
class Grows:
    """Bytes that grow evenly with places of latents."""

    fixed: float
    each: float

    def at(self, places: int) -> int:
        """Bytes at so many places."""
        return int(self.fixed + self.each * places)

    def times(self, factor: float, fixed: float = 1.0) -> Grows:
        """So many times the part that grows, and the one that does not."""
        return Grows(self.fixed * fixed, self.each * factor)

    def most(self, budget: int) -> int:
        """Places that fit into a budget."""
        return int((budget - self.fixed) / self.each)


@dataclass(frozen=True)
class StarMemory:
    """Bytes of weights and of activations: of the network on a window of LENGTH frames, and of the
    VAE in either direction.
    """

    network: int
    codec: int
    denoising: Grows
    coding: Grows


@dataclass(frozen=True)
class Cut:
    """mode: "whole", "offloaded" or "tiled". network, codec: places that go through each at once;
    None takes all of them.
    """

    mode: str
    network: int | None = None
    codec: int | None = None


def plan(figures: StarMemory, frames: int, places: int, budget: int) -> Cut:
    """The least that keeps a run of so many frames, of so many places, within a budget of bytes.

    Raises OutOfMemoryError where not even the smallest tiles do.
    """
    denoising = figures.denoising.times(min(frames, STRETCHED) / LENGTH)
    most = max(denoising.at(places), figures.coding.at(places))
    if figures.network + figures.codec + most <= budget:
        return Cut("whole")
    network = _tile(figures.network, denoising, places, budget)
    codec = _tile(figures.codec, figures.coding, places, budget)
    return Cut("tiled" if network or codec else "offloaded", network, codec)


def _tile(weights: int, grows: Grows, places: int, budget: int) -> int | None:
    most = grows.most(budget - weights)
    if most >= places:
        return None
    if most < LEAST:
        needed = (weights + grows.at(LEAST)) / 1e9
        raise OutOfMemoryError(
            f"star needs {needed:.1f} GB for its smallest tiles, and may take "
            f"{budget / 1e9:.1f} GB here; close what else uses the memory"
        )
    return most


DENOISING = Grows(504_260_172, 311_570)
"""Activations of the published network on a window of LENGTH frames in 16 bit, as `count_memory`
finds them.
"""
CODING = Grows(16, 786_432)
"""Activations of the published VAE in float32."""
PUBLISHED = 320, 128
"""Channels that the two have at full size."""


def scaled_memory(network: Any, codec: Any) -> StarMemory:
    """What was counted of the published ones, in proportion to channels and to bytes of
    a number.
    """
    wide, broad = PUBLISHED
    told = network.spec.dim / wide * next(network.parameters()).element_size() / 2
    coded = codec.config.block_out_channels[0] / broad
    return StarMemory(
        bytes_of(network), bytes_of(codec), DENOISING.times(told, told), CODING.times(coded, coded)
    )


def count_memory(spec: StarSpec, codec_config: Mapping[str, Any], dtype: torch.dtype) -> StarMemory:
    """The figures of a network and a VAE, by running both on the meta device; takes some seconds.

    dtype: of the network; the VAE runs in float32.
    """
    from diffusers import AutoencoderKLTemporalDecoder

    from src.upscaling.star.network import StarNetwork

    with torch.device("meta"):
        network = StarNetwork(spec).to(dtype).eval()
        codec = AutoencoderKLTemporalDecoder.from_config(dict(codec_config)).eval()
    codec.to("meta")  # some of its parameters are made on the CPU whatever is asked
    return StarMemory(
        bytes_of(network),
        bytes_of(codec),
        _grows(lambda h, w: _denoising(network, spec, h, w, dtype)),
        _grows(lambda h, w: _coding(codec, spec, h, w)),
    )


def _grows(measure: Callable[[int, int], int]) -> Grows:
    """As the two largest samples grow, and below none of them."""
    counted = [(height * width, measure(height, width)) for height, width in SAMPLES]
    (small, low), (large, high) = counted[-2:]
    each = (high - low) / (large - small)
    return Grows(max(made - each * places for places, made in counted), each)


def _denoising(network: Any, spec: StarSpec, height: int, width: int, dtype: torch.dtype) -> int:
    def latents() -> torch.Tensor:
        shape = (LENGTH, spec.channels, height, width)
        return torch.empty(shape, dtype=dtype, device="meta")

    text = torch.empty(1, 77, spec.context, dtype=dtype, device="meta")
    time = torch.zeros(1, dtype=torch.int64, device="meta")
    return peak_of(lambda: network(latents(), time, text, latents()), [network])


def _coding(codec: Any, spec: StarSpec, height: int, width: int) -> int:
    pixels = (1, 3, FRAME_FACTOR * height, FRAME_FACTOR * width)
    picture = torch.empty(pixels, device="meta")
    latents = torch.empty(TOGETHER, spec.channels, height, width, device="meta")
    there = peak_of(lambda: codec.encode(picture), [codec])
    return max(there, peak_of(lambda: codec.decode(latents, num_frames=TOGETHER), [codec]))
