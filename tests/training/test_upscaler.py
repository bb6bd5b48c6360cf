"""The recipe on data it makes itself: pairs, losses, and a resumed run that takes the steps of an
unbroken one.
"""

from contextlib import nullcontext

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from src.cli.train_upscaler import train_upscaler_app
from src.core.config import load_config, read_yaml, validate
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CHECKPOINTS, CONFIGS
from src.metrics.psnr import psnr
from src.recipes.decoded import encoded_and_decoded, read_fast_vae
from src.recipes.upscaler.data import PairDataset, batches_from
from src.recipes.upscaler.degrade import add_noise, degrade, shrink, through_h264, through_jpeg
from src.recipes.upscaler.losses import (
    Perceptual,
    Semantic,
    UpscalerLoss,
    charbonnier,
    difference_loss,
    load_perceptual,
    warped_loss,
)  # fmt: skip
from src.recipes.upscaler.recipe import UpscalerRecipe
from src.recipes.upscaler.run import export_upscaler, train_upscaler_slice
from src.recipes.upscaler.settings import (
    Data,
    Degradation,
    Losses,
    UpscalerSettings,
    of_preset,
)  # fmt: skip
from src.training.settings import LoopSettings, Rate
from src.upscaling.weights import load_network
from tests.command_kit import run_here


@pytest.fixture
def tiny(monkeypatch):
    """Settings whose network is tiny."""
    from src.upscaling.presets import NetworkSpec

    shape = {"channels": 8, "blocks": 1, "trunk": 8, "taps": 1, "groups": 2, "bound": 2.0,
             "align": 4, "attention": 1, "heads": 2, "window": 4}  # fmt: skip
    for module in ("src.recipes.upscaler.recipe", "src.recipes.upscaler.run"):
        monkeypatch.setattr(
            f"{module}.network_spec", lambda _, scale: NetworkSpec(scale=scale, **shape)
        )
    return UpscalerSettings(
        data=Data(crop=16, batch=2, canvases=2), threads=1,
        schedule=LoopSettings(steps=30, rate=Rate(peak=3e-3, warmup=2, decay=4)),
    )  # fmt: skip


def test_the_shipped_settings_load():
    file = CONFIGS / "training" / "upscaler_default.yaml"
    settings = load_config(file, UpscalerSettings)
    assert (settings.preset, settings.scale) == ("fast", 2)
    own = validate(of_preset(read_yaml(file), "nano"), UpscalerSettings, str(file))
    assert (own.scale, own.degradation.share, own.degradation.noise) == (4, 0, (0, 12))
    assert own.data.crop == 64 and own.data.batch == 8 and not own.presets


def test_what_is_low_goes_through_a_vae(tiny):
    def pair(vae):
        changes = {"degradation": Degradation(share=0.0, vae=vae)}
        return PairDataset(tiny.model_copy(update=changes))[0]

    plain, decoded = pair(None), pair(CHECKPOINTS / "nano")
    given = (plain["low"].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    wanted = encoded_and_decoded(read_fast_vae(CHECKPOINTS / "nano"), given)
    assert torch.equal(decoded["high"], plain["high"])
    assert np.array_equal((decoded["low"].permute(0, 2, 3, 1) * 255).round().byte(), wanted)
    assert not np.array_equal(wanted, given) and psnr(wanted, given) > 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data": {"videos": 1}}, "video_files"),
        ({"data": {"scenes": 0}}, "weight above 0"),
        ({"degradation": {"noise": [5, 1]}}, "from <= to"),
        ({"scale": 3}, "scale"),
        ({"losses": {"gan": 1}}, "unknown key"),
    ],
)
def test_wrong_settings_are_refused(data, words):
    with pytest.raises(BadInputError, match=words):
        validate(data, UpscalerSettings, "test")


def test_pairs_are_the_same_for_an_index_and_differ_between(tiny):
    one, again = PairDataset(tiny), PairDataset(tiny)
    again[5]
    first, same, other = one[3], again[3], one[4]
    assert first["low"].shape == (3, 3, 16, 16) and first["high"].shape == (3, 3, 32, 32)
    assert torch.equal(first["high"], same["high"]) and torch.equal(first["low"], same["low"])
    assert not torch.equal(first["high"], other["high"])


def test_batches_go_on_from_a_step(tiny):
    dataset = PairDataset(tiny)
    stream = batches_from(dataset, 0)
    next(stream)
    assert torch.equal(next(stream)["low"], next(batches_from(dataset, 1))["low"])


def test_pictures_and_videos_are_sources(tiny, tmp_path, pixels):
    from src.media.writer import VideoWriter

    Image.fromarray(pixels).save(tmp_path / "a.png")
    with VideoWriter(tmp_path / "b.mp4", 128, 96, 8) as writer:
        for _ in range(4):
            writer.write(pixels)
        writer.commit()
    for data in (
        {"images": 1.0, "image_folders": (tmp_path,)},
        {"videos": 1.0, "video_files": (tmp_path / "b.mp4",)},
    ):
        settings = tiny.model_copy(update={"data": Data(crop=16, scenes=0.0, **data)})
        pair = PairDataset(settings)[0]
        assert pair["high"].shape == (3, 3, 32, 32) and pair["high"].std() > 0
    empty = tiny.model_copy(
        update={"data": Data(scenes=0.0, images=1.0, image_folders=(tmp_path / "none",))}
    )
    with pytest.raises(MissingFileError, match="no folder"):
        PairDataset(empty)[0]


def test_degradations_do_what_they_say(pixels):
    clip, random = np.stack([pixels] * 3), np.random.default_rng(0)
    low, told = degrade(clip, 2, Degradation(share=0.0), random)
    assert np.array_equal(low, shrink(clip, 2)) and not told.any()
    worse, told = degrade(
        clip, 2, Degradation(share=1.0, noise=(12, 12), jpeg_share=1.0, jpeg=(30, 30)), random
    )
    assert told == pytest.approx([1, 1]) and not np.array_equal(worse, low)
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    assert add_noise(grey, 8.0, random).std() == pytest.approx(8, rel=0.1)
    errors = [np.abs(through_jpeg(low, q).astype(int) - low).mean() for q in (95, 30)]
    assert 0 < errors[0] < errors[1]
    errors = [
        np.abs(through_h264(low[:, :33, :31], crf).astype(int) - low[:, :33, :31]).mean()
        for crf in (15, 40)
    ]
    assert 0 < errors[0] < errors[1]


def test_losses_are_nought_for_the_truth_and_grow_with_what_they_name():
    truth = torch.rand(1, 3, 3, 16, 16)
    flow, seen = torch.zeros(1, 2, 2, 16, 16), torch.ones(1, 2, 1, 16, 16)
    flicker = truth + torch.tensor([0.1, -0.1, 0.1])[None, :, None, None, None]
    assert charbonnier(truth, truth).item() == pytest.approx(1e-3)
    assert difference_loss(truth, truth) == 0 and difference_loss(
        truth + 0.1, truth
    ).item() == pytest.approx(0, abs=1e-6)
    assert difference_loss(flicker, truth).item() == pytest.approx(0.2, abs=1e-5)
    assert warped_loss(flicker, truth, flow, seen).item() == pytest.approx(0.2, abs=1e-5)
    assert warped_loss(flicker, truth, flow, 0 * seen) == 0


def test_an_error_that_moves_with_the_picture_does_not_flicker():
    error = torch.zeros(1, 2, 3, 16, 16)
    error[0, 0, :, 6, 6] = error[0, 1, :, 6, 8] = 1.0  # two pixels to the right
    flow = torch.tensor([-2.0, 0.0])[None, None, :, None, None].expand(1, 1, 2, 16, 16)
    truth, seen = torch.zeros_like(error), torch.ones(1, 1, 1, 16, 16)
    assert warped_loss(truth + error, truth, flow, seen) < 1e-5 < difference_loss(error, truth)


def test_perceptual_and_semantic_losses_on_small_random_weights():
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=8, num_hidden_layers=2,
        num_attention_heads=2, image_size=32, patch_size=8))  # fmt: skip
    truth, made = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24, requires_grad=True)
    for term in (Perceptual((4, "pool", 8)), Semantic(vision)):
        assert term(truth, truth).item() == pytest.approx(0, abs=1e-6)
        loss = term(made, truth)
        loss.backward()
        assert loss > 0 and made.grad.abs().sum() > 0
        assert not any(p.requires_grad for p in term.parameters())


def test_vgg16_is_read_by_its_usual_names(tmp_path):
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in Perceptual().state_dict().items()}
    assert "features.14.weight" in tensors and tensors["features.14.weight"].shape == (
        256,
        256,
        3,
        3,
    )
    save_file(tensors | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg16.safetensors")
    assert (
        load_perceptual(tmp_path / "vgg16.safetensors")(
            torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
        )
        > 0
    )
    save_file({"other": torch.zeros(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(BadInputError, match="VGG16"):
        load_perceptual(tmp_path / "bad.safetensors")


def test_a_loss_without_its_weights_is_off_and_says_so(tmp_path):
    from loguru import logger

    said = []
    handle = logger.add(lambda message: said.append(message))
    loss = UpscalerLoss(Losses(perceptual=1.0, vgg16=tmp_path / "none", semantic=1.0))
    logger.remove(handle)
    assert loss.perceptual is None and loss.semantic is None
    assert "losses.perceptual is off" in said[0] and "losses.semantic is off" in said[1]


def test_a_run_learns_and_a_resumed_one_takes_the_same_steps(tiny, tmp_path):
    short = tiny.model_copy(update={"schedule": tiny.schedule.model_copy(update={"steps": 6})})
    train_upscaler_slice(short, tmp_path / "whole", 1.0)
    half = short.model_copy(update={"schedule": short.schedule.model_copy(update={"steps": 6})})
    stopper = iter([False, False, False, True])
    recipe_loss = UpscalerRecipe.loss

    def loss(self, batch, generator):
        if next(stopper, False):
            raise KeyboardInterrupt
        return recipe_loss(self, batch, generator)

    UpscalerRecipe.loss = loss
    try:
        with pytest.raises(KeyboardInterrupt):
            train_upscaler_slice(half, tmp_path / "half", 1.0)
    finally:
        UpscalerRecipe.loss = recipe_loss
    train_upscaler_slice(half, tmp_path / "half", 1.0)
    files = [
        export_upscaler(short, tmp_path / name, tmp_path / f"{name}.safetensors")
        for name in ("whole", "half")
    ]
    for one, other in zip(*(load_network(file).parameters() for file in files), strict=True):
        assert torch.equal(one, other)


def test_another_scale_begins_with_what_fits(tiny, tmp_path):
    train_upscaler_slice(
        tiny.model_copy(update={"schedule": LoopSettings(steps=1)}), tmp_path / "two", 1.0
    )
    file = export_upscaler(tiny, tmp_path / "two", tmp_path / "two.safetensors")
    larger = tiny.model_copy(update={"scale": 4, "schedule": LoopSettings(steps=0)})
    train_upscaler_slice(larger, tmp_path / "four", 1.0, start_from=file)
    made = load_network(export_upscaler(larger, tmp_path / "four", tmp_path / "four.safetensors"))
    assert torch.equal(made.down.weight, load_network(file).down.weight) and made.spec.scale == 4
    with pytest.raises(BadInputError, match="four holds a run already; give another --folder"):
        train_upscaler_slice(tiny, tmp_path / "four", 1.0, start_from=file)
    assert '"scale": 4' in (tmp_path / "four" / "settings.json").read_text(), "nothing is written"
    with pytest.raises(MissingFileError, match="train_upscaler"):
        export_upscaler(tiny, tmp_path / "none", tmp_path / "x.safetensors")


@pytest.mark.parametrize("error", [None, RuntimeError("in a callback"), KeyboardInterrupt()])
def test_data_workers_end_with_the_run(tiny, tmp_path, monkeypatch, error):
    settings = tiny.model_copy(update={"data": tiny.data.model_copy(update={"workers": 2})})
    seen = []

    def look(_, report, trainer):
        seen.append(len(psutil.Process().children()))
        if error is not None:
            raise error

    monkeypatch.setattr("src.recipes.upscaler.run.ConsoleLog.__call__", look)
    before = len(psutil.Process().children())
    with nullcontext() if error is None else pytest.raises(type(error)):
        train_upscaler_slice(settings, tmp_path, 0.001)
    assert seen[0] >= before + 2
    assert len(psutil.Process().children()) == before


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("nona: {scale: 4}", "presets.nona"),
        ("nano: {preset: fast}", "cannot name others"),
        ("quality: {crop: 3}", "presets.quality: unknown key 'crop'"),
        ("nano: {schedule: }", "presets.nano: schedule"),
    ],
)
def test_a_wrong_section_is_refused_whichever_preset_is_trained(tmp_path, section, words):
    (tmp_path / "own.yaml").write_text(f"presets:\n  {section}\n")
    given = ("--config", tmp_path / "own.yaml", "--preset", "nano", "--steps", 3, "--minutes", 0)
    done = run_here(train_upscaler_app(), *given)
    assert done.returncode == 2 and words in done.stderr, done.stderr
