import pytest
import torch

from src.pipelines.fast_vae import make_fast, use_channels_last, use_fast_spatial_norm
from src.pipelines.loading import read_pipeline


@pytest.fixture
def vae(tiny_folder):
    return read_pipeline(tiny_folder, torch.float32).vae


@pytest.mark.parametrize("latent_frames", [1, 3, 4, 5])
def test_the_rewrite_is_exact(vae, latent_frames):
    z = torch.randn(1, 4, latent_frames, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(z).sample
        make_fast(vae)
        assert torch.allclose(vae.decode(z).sample, expected, atol=2e-5)


def test_it_changes_this_instance_only(vae, tiny_folder):
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSpatialNorm3D

    before = CogVideoXSpatialNorm3D.forward
    assert use_fast_spatial_norm(vae) > 0
    assert CogVideoXSpatialNorm3D.forward is before
    other = read_pipeline(tiny_folder, torch.float32).vae
    assert all("forward" not in vars(module) for module in other.modules())


def test_a_vae_it_does_not_apply_to_is_an_error():
    with pytest.raises(ValueError, match="does not apply"):
        use_fast_spatial_norm(torch.nn.Linear(2, 2))


def test_channels_last_reaches_every_conv3d(vae):
    assert use_channels_last(vae) == sum(isinstance(m, torch.nn.Conv3d) for m in vae.modules())
    weight = next(m.weight for m in vae.modules() if isinstance(m, torch.nn.Conv3d) and m.kernel_size[0] == 3)
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
