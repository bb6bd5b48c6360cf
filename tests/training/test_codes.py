"""The stock encoder, given the closed form's weights, computes the codes; and the codes are worth
having.
"""

import dataclasses

import pytest
import torch

from src.pipelines.cogvideox.building import autoencoder
from src.pipelines.cogvideox.codes import install
from src.pipelines.cogvideox.fast_vae import sees_frames_alone
from src.pipelines.cogvideox.small import see_frames_alone
from src.pipelines.linear_codes import cells, fit_codes
from src.recipes.embedded.parts import load_codes
from src.recipes.scene_source import to_tensor
from src.scenes.sampler import SceneSampler


@pytest.fixture(scope="module")
def codes(run_folder):
    return load_codes(run_folder / "codes.safetensors")


@pytest.fixture(scope="module")
def video(small):
    return to_tensor(
        SceneSampler(small.width, small.height, 9, canvases=2).clip(3, 9).scene.frames()
    )[None]


def test_the_stock_encoder_computes_the_codes(small, codes, video):
    vae = autoencoder(small).eval()
    install(codes, vae)
    with torch.no_grad():
        posterior = vae.encode(video).latent_dist
    expected = codes.encode(video)
    assert expected.shape == (1, 8, 9, small.height // 4, small.width // 4)
    error = (posterior.mean - expected).square().mean().sqrt()
    assert error < 0.02 * expected.std()
    assert posterior.std.max() < 0.02


def test_a_deeper_encoder_computes_them_too(small, video):
    deep = dataclasses.replace(small, vae_channels=(16, 48, 48, 48))
    vae, codes = autoencoder(deep).eval(), fit_codes(video[0].transpose(0, 1), deep.vae_channels, 8)
    install(codes, vae)
    with torch.no_grad():
        mean = vae.encode(video).latent_dist.mean
    expected = codes.encode(video)
    assert expected.shape[-2:] == (small.height // 8, small.width // 8)
    assert (mean - expected).square().mean().sqrt() < 0.02 * expected.std()


def test_a_frame_has_the_same_codes_in_any_clip(codes, video):
    assert torch.allclose(codes.encode(video[:, :, 4:5]), codes.encode(video)[:, :, 4:5], atol=1e-5)


def test_decoding_gives_the_part_that_the_components_hold(codes, video):
    """The rest is what principal components of this number must lose: the part of the variance
    beyond them.
    """
    decoded = codes.decode(codes.encode(video))
    assert decoded.shape == video.shape
    assert (decoded - video).square().mean() < 0.1 * video.var()
    assert torch.allclose(codes.encode(decoded), codes.encode(video), atol=1e-3)


def test_components_are_orthonormal_and_in_order(codes):
    basis = codes.basis.flatten(1)
    assert torch.allclose(basis @ basis.T, torch.eye(len(basis)), atol=1e-5)
    assert (codes.deviation.diff() <= 0).all()


def test_cells_are_the_pixels_of_a_square():
    picture = torch.arange(3 * 4 * 8.0).reshape(1, 3, 4, 8)
    assert torch.equal(cells(picture, 4)[1], picture[0, :, :, 4:].flatten())


def test_amplitudes_have_unit_mean_square(codes):
    assert codes.amplitude.square().mean().item() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("channels", [(16, 8, 16), (8, 16, 16)])
def test_what_does_not_fit_is_refused(small, codes, channels):
    vae = autoencoder(dataclasses.replace(small, vae_channels=channels))
    with pytest.raises(ValueError, match="do not fit"):
        install(codes, vae)


def test_the_decoder_sees_a_frame_alone(small):
    vae = autoencoder(small).eval()
    assert not sees_frames_alone(vae.decoder)
    see_frames_alone(vae.decoder)
    assert sees_frames_alone(vae.decoder)
