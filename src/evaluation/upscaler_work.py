"""Count what an upscaler computes for a frame that it writes, on the meta device: the `work` of
configs/upscalers, that a job's cost is reckoned with. Neither weights nor a GPU are needed.

python -m src.evaluation.upscaler_work     # a line for each preset: trillions of operations

Products and sums of matrices, convolutions and attention are counted, as torch's FlopCounterMode
does; what interpolates, normalises, codes or decodes is not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.catalog.upscalers import load_upscalers
from src.console.output import command
from src.core.refinement import Refinement
from src.evaluation.published_upscalers import sdxl, star
from src.upscaling.dove.backend import DoveBackend
from src.upscaling.dove.counting import published_parts as dove
from src.upscaling.dove.restoring import whole_groups
from src.upscaling.network import VideoNetwork
from src.upscaling.presets import SCALES, network_spec
from src.upscaling.star.backend import EVALUATIONS, StarBackend
from src.upscaling.star.codec import SCALE, TOGETHER, canvas
from src.upscaling.star.spec import FRAME_FACTOR
from src.upscaling.star.windows import windows

WIDTH, HEIGHT = 720, 480
"""The frame that costs are counted in."""
SEGMENT = 60
"""Frames of a piece of a long video, without its context."""
CLIP = 4
"""Frames of our own networks that are counted at once; they grow evenly."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.parse_args()
    with command(as_json=False, quiet=False):
        for name in load_upscalers():
            for preset, work in COUNTED[name]().items():
                told = ", ".join(f"{scale}: {value:g}" for scale, value in work.items())
                print(f"{name} {preset}  work: {{{told}}}")


def operations(run: Callable[[], Any]) -> float:
    """Of what `run` computes on the meta device, in 1e12."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e12


def _newsreel() -> dict[str, dict[int, float]]:
    presets = load_upscalers()["newsreel"].presets
    return {name: _passes(name, tuple(spec.passes)) for name, spec in presets.items()}


def _passes(preset: str, scales: tuple[int, ...]) -> dict[int, float]:
    """8x is 4x, and 2x after it."""
    counted = {scale: _network(preset, scale, 1) for scale in SCALES}
    counted[8] = _network(preset, 4, 2) + counted[2]
    return {scale: digits(counted[scale]) for scale in scales}


def _network(preset: str, scale: int, then: int) -> float:
    """A frame that is enlarged `then` times more afterwards, by network."""
    with torch.device("meta"):
        network = VideoNetwork(network_spec(preset, scale)).eval()
        size = HEIGHT // scale // then, WIDTH // scale // then
        frames, told = torch.empty(1, CLIP, 3, *size), torch.zeros(1, 2)
    return operations(lambda: network(frames, told)) / CLIP


def _star() -> dict[str, dict[int, float]]:
    return {preset: _diffused(count) for preset, count in EVALUATIONS.items()}


def _diffused(evaluations: int) -> dict[int, float]:
    """4x; 2x is that of four times the pixels, made smaller; 8x that of a quarter, then ours."""
    whole, quarter, four_times = (_sampled(size, evaluations) for size in (1.0, 0.5, 2.0))
    return {
        2: digits(four_times), 4: digits(whole),
        8: digits(quarter + _network("balanced", 2, 1)),
    }  # fmt: skip


def _sampled(size: float, evaluations: int) -> float:
    """STAR for a frame of so many times each side: with and without the text, in windows that
    overlap, of pieces with context; and the VAE there and back.
    """
    height, width = canvas(int(size * HEIGHT) // SCALE, int(size * WIDTH) // SCALE)
    overlap = StarBackend.window.overlap
    every = SEGMENT + 2 * overlap
    network, vae = star()
    passes = sum(end - first for first, end in windows(every))
    with torch.device("meta"):
        cells = height // FRAME_FACTOR, width // FRAME_FACTOR
        z = torch.empty(TOGETHER, network.spec.channels, *cells)
        text, time = torch.empty(1, 77, network.spec.context), torch.zeros(1, dtype=torch.int64)
        picture = torch.empty(1, 3, height, width)
    forward = operations(lambda: network(z, time, text, z)) / TOGETHER
    coded = operations(lambda: vae.encode(picture))
    coded += operations(lambda: vae.decode(z, num_frames=TOGETHER)) / TOGETHER
    return (2 * evaluations * passes * forward + every * coded) / SEGMENT


def _dove() -> dict[str, dict[int, float]]:
    """The whole window, for the frames of it that are kept: the same at both scales."""
    transformer, vae = dove()
    window, ratio = DoveBackend.window, 8
    frames = whole_groups(window.most)
    with torch.device("meta"):
        video = torch.empty(1, 3, frames, HEIGHT, WIDTH)
        z = torch.empty(1, 16, (frames - 1) // 4 + 1, HEIGHT // ratio, WIDTH // ratio)
        patched = torch.empty(1, z.shape[2] + z.shape[2] % 2, *z.shape[1:2], *z.shape[3:])
        text, time = torch.empty(1, 226, 4096), torch.zeros(1)
    places = patched.shape[1] // 2 * z.shape[3] * z.shape[4] // 4
    rotary = torch.empty(places, 64, device="meta"), torch.empty(places, 64, device="meta")
    told = {"timestep": time, "image_rotary_emb": rotary}
    made = operations(lambda: transformer(patched, text, **told))
    made += operations(lambda: vae.encode(video)) + operations(lambda: vae.decode(z))
    return {"quality": dict.fromkeys((2, 4), digits(made / window.body(frames)))}


def _sdxl() -> dict[str, dict[int, float]]:
    """Steps of the usual strength, and the VAE there and back: the same at both scales."""
    unet, vae = sdxl()
    with torch.device("meta"):
        picture = torch.empty(1, 3, HEIGHT, WIDTH)
        z, time = torch.empty(1, 4, HEIGHT // 8, WIDTH // 8), torch.zeros(())
        text = torch.empty(1, 77, 2048)
        told = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
    made = Refinement().steps * operations(lambda: unet(z, time, text, added_cond_kwargs=told))
    made += operations(lambda: vae.encode(picture)) + operations(lambda: vae.decode(z))
    return {"balanced": dict.fromkeys((2, 4), digits(made))}


def digits(value: float) -> float:
    """Rounded to three."""
    return float(f"{value:.3g}")


COUNTED: dict[str, Callable[[], dict[str, dict[int, float]]]] = {
    "newsreel": _newsreel, "star": _star, "dove": _dove, "sdxl": _sdxl,
}  # fmt: skip
"""By upscaler of the catalog: work by preset and scale, in 1e12 operations, to three digits."""


if __name__ == "__main__":
    main()
