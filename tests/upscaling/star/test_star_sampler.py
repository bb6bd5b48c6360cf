"""STAR's schedule, sampler, windows and tiles, against numbers of the original (see
`test_star_network.py`) on a model of a few sums.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.upscaling.backends import UpscaleRun
from src.upscaling.star.denoiser import Draws, start_for
from src.upscaling.star.sampler import denoised_at, guided, noised_at, sample
from src.upscaling.star.schedule import level_at, levels, sigmas
from src.upscaling.star.windows import Blend, joined_windows, latent_tiles, windows

NUMBERS = np.load(Path(__file__).parent / "numbers.npz")
SEED, LATENTS = 21, 9999


def _model(x, time, text, source):
    mixed = 0.3 * torch.sin(x) * text + 0.2 * source + time / 1000 * torch.cos(x)
    return mixed + 0.3 * x.mean(0, keepdim=True)  # a frame looks at those of its window


def _sampled(frames: int, evaluations: int) -> torch.Tensor:
    numbers = UpscaleRun(seed=SEED)
    source = torch.from_numpy(
        numbers.random(LATENTS).standard_normal((frames, 4, 4, 3), np.float32)
    )

    def denoise(x, level):
        return joined_windows([_window(x[a:b], source[a:b], level) for a, b in windows(frames)])

    visited, draw = levels(evaluations), Draws(numbers, range(frames), source)
    return sample(noised_at(source, visited[0], draw()), visited, denoise, draw)


def _window(x, source, level):
    told, untold = (_model(x, level.time, text, source) for text in (1.3, 0.4))
    return denoised_at(x, guided(told, untold, 7.5), level)


@pytest.mark.parametrize(
    ("name", "evaluations"), [("fast5", 14), ("even25x5", 25), ("even50x5", 50)]
)
def test_three_schedules_equal_the_original(name, evaluations):
    made = _sampled(5, evaluations)
    assert np.abs(made.numpy() - NUMBERS[f"sampler_{name}"]).max() <= 1e-5


@pytest.mark.parametrize("frames", [41, 49, 72, 81])
def test_windows_joined_at_every_step_equal_the_original(frames):
    made = _sampled(frames, 14)[:, 0]
    assert np.abs(made.numpy() - NUMBERS[f"sampler_fast{frames}"]).max() <= 1e-5


@pytest.mark.parametrize(("frames", "wanted"), [
    (1, [(0, 1)]), (16, [(0, 16)]), (33, [(0, 33)]), (40, [(0, 40)]), (41, [(0, 32), (16, 41)]),
    (49, [(0, 32), (16, 49)]), (72, [(0, 32), (16, 48), (32, 72)]),
    (81, [(0, 32), (16, 48), (32, 64), (48, 81)]),
])  # fmt: skip
def test_windows(frames, wanted):
    assert windows(frames) == wanted


@pytest.mark.parametrize("frames", [33, 41, 49, 72, 81])
def test_joined_windows_give_each_frame_once(frames):
    clip = torch.arange(frames)
    parts = [clip[first:end] + 1000 * place for place, (first, end) in enumerate(windows(frames))]
    made = joined_windows(parts)
    assert torch.equal(made % 1000, clip)
    borders = [int(n) for n in torch.nonzero(torch.diff(made // 1000)).flatten() + 1]
    assert borders == [first + 8 for first, _ in windows(frames)][1:]


def test_the_schedule_is_the_originals():
    made = sigmas()[[0, 1, 90, 250, 500, 777, 899, 998, 999]]
    assert np.abs(made.numpy() - NUMBERS["sigmas"]).max() <= 1e-7 and sigmas()[-1] == 1
    times = [899, 799, 699, 599, 500, 454, 409, 363, 318, 272, 227, 181, 136, 90]
    assert [level.time for level in levels(14)] == times
    assert [len(levels(count)) for count in (25, 50)] == [25, 50]
    assert float(level_at(899).sigma) == pytest.approx(0.9991, abs=1e-4)


def test_the_first_input_is_scaled_by_sigma_as_published():
    seen = []
    start = torch.ones(1, 4, 2, 2)
    sample(start, levels(2), lambda x, level: seen.append(x) or x, lambda: torch.zeros(1, 4, 2, 2))
    assert seen[0].allclose(level_at(899).sigma * start, atol=1e-6)


def test_a_noisier_source_begins_later():
    assert [start_for(share) for share in (0, 0.5, 1)] == [899, 939, 979]
    assert levels(14, 979)[0].time == 979 and levels(14, 979)[4].time == 500


def test_guidance_is_brought_back_to_the_deviation():
    torch.manual_seed(0)
    told, untold = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    far = untold + 7.5 * (told - untold)
    made = guided(told, untold, 7.5)
    assert float(made.std()) == pytest.approx(float(0.2 * told.std() + 0.8 * far.std()), rel=1e-4)
    assert guided(told, untold, 1).allclose(told, atol=1e-6)


@pytest.mark.parametrize("shape", [(34, 96), (90, 160), (122, 184), (506, 16)])
@pytest.mark.parametrize("most", [1600, 3000, 10**6])
def test_tiles_cover_a_picture_and_blend_to_it(shape, most):
    parts = latent_tiles(shape, most)
    picture = torch.rand(2, 3, *shape)
    blend = Blend(parts)
    for rows, columns in parts:
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        assert height % 8 == 2 and width % 8 == 0 and height * width <= max(most, 34 * 40)
        blend.add(picture[..., slice(*rows), slice(*columns)], rows, columns)
    assert blend.result().allclose(picture, atol=1e-5)
    assert (len(parts) == 1) == (shape[0] * shape[1] <= most)


def test_tiles_fade_into_each_other():
    parts = latent_tiles((34, 96), 34 * 40)
    blend = Blend(parts, 8)
    for place, (rows, columns) in enumerate(parts):
        made = torch.full((1, 8 * 34, 8 * (columns[1] - columns[0])), float(place))
        blend.add(made, rows, columns)
    steps = torch.diff(blend.result()[0, 0])
    assert len(parts) > 1 and steps.min() >= 0 and steps.max() < 0.03


def test_noise_is_of_the_seed_and_the_frame_alone():
    like = torch.zeros(3, 4, 2, 2)
    whole, part = (
        Draws(UpscaleRun(seed=3), range(3), like),
        Draws(UpscaleRun(seed=3), [2], like[:1]),
    )
    first, second = whole(), whole()
    assert torch.equal(first[2:], part()) and torch.equal(second[2:], part())
    assert not torch.equal(first, second)
