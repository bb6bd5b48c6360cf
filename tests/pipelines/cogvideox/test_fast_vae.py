import pytest
import torch

from src.pipelines.blueprint import TINY_NANO
from src.pipelines.cogvideox.building import autoencoder
from src.pipelines.cogvideox.fast_upsampling import use_merged_upsampling
from src.pipelines.cogvideox.fast_vae import (
    make_fast,
    sees_frames_alone,
    use_channels_last,
    use_fast_spatial_norm,
    use_inplace_activations,
    use_onednn,
    use_pointwise_products,
    use_strided_history,
)
from src.pipelines.cogvideox.small import see_frames_alone
from src.pipelines.loading import read_pipeline


@pytest.fixture
def vae(tiny_folder):
    return read_pipeline(tiny_folder, torch.float32).vae


@pytest.mark.parametrize("latent_frames", [1, 3, 4, 5])
def test_the_rewrites_are_exact_to_rounding(vae, latent_frames):
    z = torch.randn(1, 4, latent_frames, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(z).sample
        make_fast(vae)
        assert torch.allclose(vae.decode(z).sample, expected, atol=1e-4)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="without AVX-512 or AVX-NE-CONVERT torch refuses bfloat16 convolutions",
)
@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_decoder_that_sees_frames_alone_skips_the_taps_it_does_not_use(frames):
    torch.manual_seed(0)
    vae = autoencoder(TINY_NANO).eval()
    see_frames_alone(vae.decoder)
    z = torch.randn(1, 8, frames, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = vae.decode(z).sample
    assert expected.shape == (1, 3, frames, 24, 32)
    make_fast(vae)
    assert "forward" in vars(vae.decoder.conv_in)
    assert torch.allclose(vae.decode(z).sample, expected, atol=1e-4)


def test_a_decoder_that_looks_back_keeps_its_taps(vae):
    assert not sees_frames_alone(vae.decoder)
    make_fast(vae)
    assert "forward" not in vars(vae.decoder.conv_in)


@torch.no_grad()
def test_in_bfloat16_it_is_as_close_to_the_truth_as_the_stock_form(vae):
    z = torch.randn(1, 4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    truth, half, rounded = vae.decode(z).sample, vae.to(torch.bfloat16), z.to(torch.bfloat16)
    stock = (half.decode(rounded).sample - truth).abs().mean()
    make_fast(half)
    assert (
        half.decode(rounded).sample - truth
    ).abs().mean() < 1.2 * stock  # two draws of the same rounding: 0.95 to 1.08 over six seeds


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
    weight = next(
        m.weight for m in vae.modules() if isinstance(m, torch.nn.Conv3d) and m.kernel_size[0] == 3
    )
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_each_rewrite_reaches_its_modules_and_a_vae_without_them_says_none(vae):
    convolutions = sum(isinstance(module, torch.nn.Conv3d) for module in vae.modules())
    assert use_pointwise_products(vae) + use_onednn(vae) == convolutions
    assert use_inplace_activations(vae) > 1
    assert use_strided_history(vae) > 1


def test_encoding_and_gradients_still_work(vae):
    video = torch.rand(1, 3, 9, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.encode(video).latent_dist.mode()
        make_fast(vae)
        assert torch.allclose(vae.encode(video).latent_dist.mode(), expected, atol=1e-4)
    vae.decode(expected).sample.square().mean().backward()
    assert all(parameter.grad is not None for parameter in vae.decoder.parameters())


@pytest.mark.parametrize(("frames", "compress_time"), [(1, True), (4, True), (5, True), (4, False)])
def test_merged_upsampling_is_the_stock_one(frames, compress_time):
    from diffusers.models.upsampling import CogVideoXUpsample3D

    torch.manual_seed(0)
    vae = torch.nn.ModuleList([CogVideoXUpsample3D(6, 5, compress_time=compress_time)])
    f = torch.randn(1, 6, frames, 7, 9)
    expected = vae[0](f)
    assert use_merged_upsampling(vae) == 1
    assert torch.allclose(vae[0](f), expected, atol=1e-5)
    assert vae[0](f).shape == expected.shape


def test_weights_that_come_only_for_their_layer_are_there(vae):
    """Offloading brings a layer's weights when the layer is called: every rewrite calls the layer
    it stands for.
    """
    from accelerate import cpu_offload

    z = torch.randn(1, 4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(z).sample
        make_fast(vae)
        cpu_offload(vae, torch.device("cpu"))
        assert torch.allclose(vae.decode(z).sample, expected, atol=1e-4)
