"""DOVE on a tiny seeded checkpoint of the true classes: order, formula, counts, sizes, tiles,
refusals.
"""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from src.core.errors import BadInputError, CancelledError, MissingWeightsError, OutOfMemoryError
from src.core.progress import CancelToken
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.blending import Canvas, TileArea, tiles
from src.upscaling.dove.backend import GRID, enlarged_part
from src.upscaling.dove.folder import PROMPT
from src.upscaling.dove.restoring import predicted_x0, whole_groups
from src.upscaling.feeding import enlarged
from src.upscaling.fitting import Stage, Weights, fit
from src.upscaling.registry import detect, load_backend
from tests.diffusion_kit import build_dove

ASKED = EnhanceSettings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_dove(tmp_path_factory.mktemp("dove") / "dove")


@pytest.fixture(scope="module")
def backend(folder):
    torch.set_num_threads(1)
    return load(folder)


def load(folder, scale=2):
    return load_backend(UpscalerChoice("quality", scale, upscaler="x", detected=detect(folder)))


def noise(count, height, width, seed=0):
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def run(backend, frames, before=0, after=0, token=None):
    stretch = Stretch(frames, before, after)
    made = enlarged(backend, stretch, ASKED, UpscaleRun(token or CancelToken()))
    return np.stack(list(made))


def test_as_many_frames_come_out_as_went_in(backend):
    """Each count from 1 to 33, and with context."""
    frames = noise(33, 16, 16)
    for count in range(1, 34):
        assert run(backend, frames[:count]).shape == (count, 32, 32, 3)
    assert run(backend, frames[:12], 4, 3).shape == (5, 32, 32, 3)
    assert [whole_groups(count) for count in (1, 2, 9, 10, 33)] == [1, 9, 9, 17, 33]


@pytest.mark.parametrize("size", [(2, 2), (300, 17), (17, 33)])
def test_any_size_comes_back_exactly(backend, size):
    made = run(backend, noise(1, *size))
    assert made.shape == (1, 2 * size[0], 2 * size[1], 3) and np.isfinite(made).all()


@torch.no_grad()
def by_hand(folder, frames, scale=2):
    """The published order by diffusers' own classes, on frames that need no filling up."""
    import diffusers
    from safetensors.torch import load_file

    transformer = diffusers.CogVideoXTransformer3DModel.from_pretrained(folder / "transformer")
    vae = diffusers.AutoencoderKLCogVideoX.from_pretrained(folder / "vae")
    scheduler = diffusers.CogVideoXDPMScheduler.from_pretrained(folder / "scheduler")
    given = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    large = F.interpolate(given, scale_factor=scale, mode="bilinear", align_corners=False)
    z = vae.encode(large.permute(1, 0, 2, 3)[None]).latent_dist.mode() * 0.7
    z = torch.cat([z[:, :, :1], z], dim=2).permute(0, 2, 1, 3, 4)
    stand_in = type("Pipe", (), {"transformer": transformer, "vae_scale_factor_spatial": 8})()
    prepare = diffusers.CogVideoXPipeline._prepare_rotary_positional_embeddings
    rotary = prepare(stand_in, *large.shape[-2:], z.shape[1], "cpu")
    prompt = load_file(folder / PROMPT)["prompt_embedding"][None].float()
    time = torch.tensor([399])
    v = transformer(z, prompt, time, image_rotary_emb=rotary, return_dict=False)[0]
    x0 = scheduler.get_velocity(v, z, time)[:, 1:].permute(0, 2, 1, 3, 4)
    made = vae.decode(x0 / 0.7).sample[0].permute(1, 2, 3, 0)
    return (made * 0.5 + 0.5).clamp(0, 1).numpy()


def test_it_is_the_published_order(backend, folder):
    """The fast forms of the VAE and of attention are allowed what they are held to, 1e-5 of 2."""
    frames = noise(9, 16, 32)
    assert np.abs(run(backend, frames) - by_hand(folder, frames)).max() <= 2e-5


def test_the_clean_latents_are_those_of_the_formula(backend):
    """a[399] from the betas with zero terminal SNR, arXiv:2305.08891, algorithm 1."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    roots = torch.cumprod(1 - betas, 0).sqrt()
    roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    a = float(roots[399] ** 2)
    assert math.isclose(a, 0.3935, abs_tol=5e-5)
    z, v = torch.randn(2, 1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.bfloat16):
        z_, v_ = z.to(dtype), v.to(dtype)
        made = predicted_x0(backend.parts.scheduler, z_, v_, torch.tensor([399]))
        wanted = a**0.5 * z_.double() - (1 - a) ** 0.5 * v_.double()
        assert float((made - wanted).abs().max()) <= 1e-5


def test_what_is_cancelled_ends_before_the_next_forward(folder):
    """Whichever forward is under way: of the encoder, the transformer or the decoder."""
    forwards = []
    other = load(folder)
    parts = (other.parts.vae.encoder, other.parts.transformer, other.parts.vae.decoder)
    for part in parts:
        part.register_forward_hook(lambda *_: forwards.append(1) or stop())
    token, limit = CancelToken(), [0]

    def stop():
        if len(forwards) == limit[0]:
            token.cancel()

    frames = noise(17, 16, 16)
    run(other, frames)
    every, forwards[:] = len(forwards), []
    assert every >= 5
    for limit[0] in range(1, every):
        token, forwards[:] = CancelToken(), []
        with pytest.raises(CancelledError):
            run(other, frames, token=token)
        assert len(forwards) == limit[0]


def test_too_little_memory_is_met_with_tiles_that_have_no_black_edges(folder):
    other = load(folder)
    frames = np.full((5, 128, 64, 3), 128, np.uint8)
    whole = run(other, frames)
    most = other.counted.fit(9, (128, 64), other.budget).needs
    other.keep_to([most // 2])
    fitted = other.counted.fit(9, (128, 64), other.budget)
    assert fitted.needs <= most // 2 and min(fitted.tiles.values()) < (128, 64)
    tiled = run(other, frames)
    assert tiled.shape == whole.shape and np.array_equal(tiled, run(other, frames))
    assert np.abs(tiled - whole).mean() < 0.1
    other.keep_to([1000])
    with pytest.raises(OutOfMemoryError, match="the smallest tile to encode, 64x64 pixels, takes"):
        run(other, frames)


def test_weights_stream_before_anything_is_cut():
    """Bytes by hand: 10 whole or 2 streamed, one for each pixel."""
    stages = {"a": Stage(lambda tile: tile[0] * tile[1], (64, 64))}
    weights = Weights(whole=10000, streamed=2000)
    found = [fit(weights, stages, budget, 8) for budget in (14096, 14095, 6096, 6095)]
    assert [(made.tiles["a"], made.offload) for made in found] == [
        ((64, 64), False), ((64, 64), True), ((64, 64), True), ((32, 64), True)
    ]  # fmt: skip


def test_tiles_cover_everything_and_hann_windows_sum_to_one():
    every = tiles((160, 96), (64, 48), GRID)
    canvas = Canvas((1, 160, 96, 3), every)
    picture = np.random.default_rng(0).random((1, 160, 96, 3)).astype(np.float32)
    for part in every:
        assert part.size == (64, 48) and not any(side % GRID for side in (part.top, part.left))
        canvas.add(part, picture[(slice(None), *part.place)])
    assert len(every) > 6 and np.abs(canvas.made - picture).max() <= 1e-6


def test_a_tile_is_what_the_enlarged_frame_has_there():
    frames = noise(2, 64, 48)
    whole = enlarged_part(frames, TileArea(0, 64, 0, 48), 4)
    part = enlarged_part(frames, TileArea(16, 48, 16, 48), 4)
    assert torch.allclose(part, whole[..., 64:192, 64:192], atol=1e-6)


def changed(folder, target, name, **fields):
    """A copy of the folder with other fields in one of its files."""
    import shutil

    shutil.copytree(folder, target)
    told = json.loads((target / name).read_bytes())
    (target / name).write_text(json.dumps(told | fields))
    return target


@pytest.mark.parametrize(("name", "fields", "sentence"), [
    ("transformer/config.json", {"in_channels": 8}, "transformer/config.json says in_channels 8"),
    ("transformer/config.json", {"ofs_embed_dim": 16}, "says ofs_embed_dim 16, and DOVE's is None"),
    ("vae/config.json", {"_class_name": "AutoencoderKL"}, "says _class_name 'AutoencoderKL'"),
    ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": False}, "leaves a signal"),
    ("transformer/config.json", {"num_layers": 3}, "has no weights for|does not load"),
    ("transformer/config.json", {"text_embed_dim": 10}, "1 tensors of other shapes .*text_proj"),
])  # fmt: skip
def test_what_is_not_a_dove_checkpoint_is_one_sentence(folder, tmp_path, name, fields, sentence):
    with pytest.raises(BadInputError, match=sentence):
        load(changed(folder, tmp_path / "other", name, **fields))


def test_a_schedule_that_is_none_is_one_sentence(folder, tmp_path):
    other = changed(folder, tmp_path / "other", "vae/config.json")
    (other / "scheduler" / "scheduler_config.json").write_text("[]")
    with pytest.raises(BadInputError, match=r"scheduler_config\.json is no scheduler's"):
        load(other)


def test_another_embedding_is_one_sentence(folder, tmp_path):
    from safetensors.torch import save_file

    other = changed(folder, tmp_path / "other", "vae/config.json")
    save_file({"prompt_embedding": torch.zeros(5, 12)}, other / PROMPT)
    with pytest.raises(BadInputError, match=r"holds \(5, 12\) numbers, and the transformer reads"):
        load(other)


def test_missing_weights_are_told_with_what_to_do_bytes_and_licence():
    with pytest.raises(MissingWeightsError, match=r"checkpoints/dove.*11.6 GB.*Apache-2.0"):
        UpscalerChoice("quality", 4, upscaler="dove").check(ASKED)
