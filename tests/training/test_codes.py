"""The stock encoder, given the closed form's weights, computes the codes; and the codes are worth having."""

import pytest
import torch

from src.pipelines.blueprint import autoencoder
from src.scenes.sampler import SceneSampler
from src.training.codes import best_combinations, blocks, functions_of_time, install
from src.training.embedded import load_codes, to_tensor


@pytest.fixture(scope="module")
def codes(run_folder):
    return load_codes(run_folder / "codes.safetensors")


@pytest.fixture(scope="module")
def video(small):
    return to_tensor(SceneSampler(small.width, small.height, 9, canvases=2).clip(3, 17).scene.frames())[None]


def test_the_stock_encoder_computes_the_codes(small, codes, video):
    vae = autoencoder(small).eval()
    install(codes, vae)
    with torch.no_grad():
        posterior = vae.encode(video).latent_dist
    expected = codes.encode(video)
    error = (posterior.mean - expected).square().mean().sqrt()
    assert error < 0.02 * expected.std()
    assert posterior.std.max() < 0.02


def test_a_still_photograph_is_the_first_latent_of_its_clip(codes, video):
    assert torch.allclose(codes.encode(video[:, :, :1]), codes.encode(video)[:, :, :1], atol=1e-5)


def test_codes_predict_the_pixels(codes, video):
    """Least squares from eight codes a cell leaves a small part of the variance."""
    latents = codes.encode(video).permute(0, 2, 3, 4, 1).flatten(0, 3)
    inputs = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
    pixels = blocks(video, 8)
    fitted = inputs @ torch.linalg.lstsq(inputs, pixels).solution
    assert (pixels - fitted).square().mean() < 0.25 * pixels.var()


def test_a_still_clip_has_only_means():
    still = torch.rand(1, 3, 1, 8, 8).expand(-1, -1, 9, -1, -1)
    features = functions_of_time(still)
    assert features.shape == (1, 9, 3, 8, 8)
    assert torch.allclose(features[:, :3, 2], still[:, :, 0])
    assert features[:, 3:].abs().max() < 1e-6


def test_best_combinations_finds_the_rank():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 6, generator=generator)
    pixels = inputs[:, :2] @ torch.randn(2, 20, generator=generator)
    kept = best_combinations(inputs, pixels, 2)
    assert kept[:, 2:].abs().max() < 1e-3 * kept.abs().max()


def test_amplitudes_have_unit_mean_square(codes):
    assert codes.amplitude.square().mean().item() == pytest.approx(1.0, rel=1e-4)
    assert (codes.deviation.diff() < 0.2 * codes.deviation[:-1]).all()


def test_too_many_codes_are_refused(small, codes):
    import dataclasses

    vae = autoencoder(dataclasses.replace(small, vae_channels=(16, 16, 16, 8), latent_channels=8))
    with pytest.raises(ValueError, match="do not fit"):
        install(codes, vae)
