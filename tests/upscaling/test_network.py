import numpy as np
import pytest
import torch
import torch.nn.functional as F

from src.core.errors import BadInputError
from src.upscaling.alignment import DeformableAlignment, sample_features
from src.upscaling.network import build_network, pad_to_grid
from src.upscaling.presets import PRESETS, network_spec
from src.upscaling.runtime import NetworkRunner, bytes_per_pixel
from src.upscaling.tiles import cut

from .conftest import tiny_network


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(32, 48), (17, 13), (1, 1)])
@pytest.mark.parametrize("shape", [{}, {"heads": 0, "hidden": 4}])
def test_any_size_comes_out_enlarged(scale, size, shape):
    out = tiny_network(scale, **shape)(torch.rand(2, 3, 3, *size), torch.zeros(2, 2))
    assert out.shape == (2, 3, 3, scale * size[0], scale * size[1])


def test_presets_grow_and_fast_is_for_cpus():
    counts = [
        sum(p.numel() for p in build_network(network_spec(preset, 2)).parameters())
        for preset in PRESETS
    ]
    assert 10_000 < counts[0] < 100_000 < counts[1] < counts[2]


def test_unknown_presets_and_scales_are_refused():
    with pytest.raises(BadInputError, match="fast, balanced, quality"):
        network_spec("best", 2)
    with pytest.raises(BadInputError, match="cascade"):
        network_spec("fast", 8)


def test_offsets_begin_at_zero_and_stay_bounded():
    align = DeformableAlignment(network_spec("balanced", 2))
    frame, neighbour = torch.randn(1, 48, 8, 8), torch.randn(1, 48, 8, 8)
    flow, weight = align.look(frame, neighbour)
    assert torch.equal(flow[0, 0, :, :, 3, 3], align.places) and torch.equal(
        weight, torch.ones_like(weight)
    )
    torch.nn.init.normal_(align.offsets.weight, std=100)
    flow, _ = align.look(frame, neighbour)
    assert (flow - align.places[None, None, :, :, None, None]).abs().max() <= align.bound + 1e-4


def test_sampling_at_whole_offsets_is_a_shift():
    features = torch.randn(1, 4, 9, 11)
    flow = torch.tensor([2.0, -1.0])[None, None, None, :, None, None].expand(1, 2, 1, 2, 9, 11)
    moved = sample_features(features, flow, torch.ones(1, 2, 1, 9, 11))
    assert torch.allclose(moved[:, :, 1:, :-2], features[:, :, :-1, 2:], atol=1e-5)


def test_alignment_learns_a_motion():
    """Trained on one shifted texture, the offsets find the shift."""
    torch.manual_seed(0)
    align = DeformableAlignment(network_spec("fast", 2))
    picture = F.interpolate(torch.randn(1, 32, 12, 12), scale_factor=4, mode="bicubic")
    frame, neighbour = picture[..., 4:36, 4:36], picture[..., 4:36, 1:33]
    optimizer = torch.optim.Adam(align.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        flow, weight = align.look(frame, neighbour)
        loss = (sample_features(neighbour, flow, weight) - frame)[..., 6:-6, 6:-6].abs().mean()
        loss.backward()
        optimizer.step()
    found = align.look(frame, neighbour)[0][0, :, :, :, 8:-8, 8:-8].mean((0, 1, 3, 4))
    assert found[0].item() == pytest.approx(3.0, abs=0.7) and abs(found[1].item()) < 0.7


def test_the_3d_convolution_is_computed_exactly():
    network = tiny_network()
    clip = torch.rand(1, 5, 3, 8, 8)
    want = network.head(
        F.pad(clip.transpose(1, 2), (0, 0, 0, 0, 1, 1), mode="replicate")
    ).transpose(1, 2)[0]
    stacked = torch.cat([clip[:, [0, 0, 1, 2, 3]], clip, clip[:, [1, 2, 3, 4, 4]]], 2)[0]
    assert torch.allclose(network.encode(stacked), want, atol=1e-5)


def test_a_frame_depends_on_two_to_either_side_and_no_more():
    network = tiny_network()
    clip = torch.rand(1, 7, 3, 16, 16)
    for other, same in ((0, True), (1, False), (5, False), (6, True)):
        changed = clip.clone()
        changed[:, other] = 0
        out, before = (
            network(changed, torch.zeros(1, 2))[0, 3],
            network(clip, torch.zeros(1, 2))[0, 3],
        )
        assert torch.equal(out, before) == same


@pytest.mark.parametrize("shape", [{}, {"heads": 0}])
def test_the_halo_covers_what_a_pixel_depends_on(shape):
    network = tiny_network(**shape)
    halo, side = network.spec.halo, 8 * network.spec.halo // network.spec.grid * network.spec.grid
    clip = torch.rand(1, 2, 3, side, side, requires_grad=True)
    middle = side // 2
    network(clip, torch.zeros(1, 2))[
        0, 0, :, 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2
    ].sum().backward()
    rows = clip.grad.abs().sum((0, 1, 2, 4)).nonzero().flatten()
    assert middle - rows.min() <= halo and rows.max() - middle <= halo


@pytest.mark.parametrize("preset", ["fast", "balanced", "quality"])
def test_tiles_give_the_untiled_picture(preset):
    torch.manual_seed(1)
    network = build_network(network_spec(preset, 2)).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    pictures = np.random.default_rng(0).integers(0, 256, (1, 40, 320, 3), np.uint8)
    whole = NetworkRunner(network, budget=1 << 40)
    tiled = NetworkRunner(network, budget=bytes_per_pixel(network) * 48 * 256)
    assert tiled.batch(48, 320).pixels < 48 * 320
    one, other = (np.concatenate(list(r.run(pictures, 0, 0, (0.0, 0.0)))) for r in (whole, tiled))
    assert np.abs(one - other).max() <= 1 / 255


def test_tiles_cover_an_axis_once():
    tiles = cut(112, 32, 16, 16)
    assert [(t.first, t.last) for t in tiles] == [(0, 32), (32, 64), (64, 96), (96, 112)]
    assert [(t.begin, t.end) for t in tiles] == [(0, 48), (16, 80), (48, 112), (80, 112)]
    with pytest.raises(ValueError, match="grid"):
        cut(100, 32, 16, 16)


def test_padding_repeats_the_border():
    padded = pad_to_grid(torch.arange(12.0).reshape(1, 1, 1, 3, 4), 4)
    assert padded.shape[-2:] == (4, 4) and torch.equal(padded[..., 3, :], padded[..., 2, :])
