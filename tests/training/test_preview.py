"""The recipe `preview` on a tiny VAE: what it learns from, slices that resume, the file."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from src.cli.train_preview import train_preview_app
from src.core.config import load_config
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CONFIGS
from src.pipelines.models import find_model
from src.pipelines.preview_decoder import load_preview
from src.pipelines.preview_files import FILE, read_preview
from src.recipes.preview.recipe import PreviewRecipe, fitted_decoder
from src.recipes.preview.run import export_preview, train_preview_slice
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import Taught, read_taught
from src.training.checkpoints import CheckpointManager
from src.training.settings import LoopSettings, Rate

CPU = torch.device("cpu")
SETTINGS = PreviewSettings(
    width=8, blocks=1, fit_clips=4, clips=2, crop=4, latent_frames=2, canvases=2, photographs=0.0,
    threads=1, schedule=LoopSettings(steps=4, rate=Rate(peak=1e-3, warmup=1, decay=0), ema=0.5),
)  # fmt: skip


@pytest.fixture
def spec(tiny_folder):
    return find_model(str(tiny_folder))


@pytest.fixture
def taught(spec, tiny_folder) -> Taught:
    return read_taught(spec, tiny_folder, SETTINGS, CPU)


def test_the_shipped_settings_load():
    load_config(CONFIGS / "training" / "preview.yaml", PreviewSettings)


def test_the_decoder_s_sizes_are_the_vae_s(taught):
    """8x8 pixels of four frames are a cell; 64x48 is not halved."""
    assert (taught.form.channels, taught.form.cell, taught.form.frames) == (4, 8, 4)
    assert (taught.cell, taught.shrink) == (8, 1)


def test_a_batch_is_latents_and_the_frames_they_stand_for(taught):
    recipe = PreviewRecipe(taught, SETTINGS, fitted_decoder(taught, SETTINGS))
    latents, wanted = recipe.batch(0)
    assert latents.shape == (2, 4, 2, 4, 4)
    assert wanted.shape == (2, 3, 5, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(recipe.batch(0), (latents, wanted), strict=True))
    assert not torch.equal(recipe.batch(1)[1], wanted)


def test_small_frames_are_means_of_pixels(taught):
    from dataclasses import replace

    half = replace(taught, shrink=2, form=taught.form.model_copy(update={"cell": 4}))
    video = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    assert half.cell == 8
    assert half.small(video).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_training_lowers_the_loss(taught):
    torch.manual_seed(0)
    recipe = PreviewRecipe(taught, SETTINGS, fitted_decoder(taught, SETTINGS))
    batch, generator = recipe.batch(0), torch.Generator()
    optimizer = torch.optim.Adam(recipe.model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = recipe.loss(batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_a_run_in_two_slices_takes_the_steps_of_one(spec, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_preview_slice(spec, SETTINGS, whole, 5)
    half = SETTINGS.model_copy(
        update={"schedule": SETTINGS.schedule.model_copy(update={"steps": 2})}
    )
    train_preview_slice(spec, half, parts, 5)
    train_preview_slice(spec, SETTINGS, parts, 5)
    states = [CheckpointManager(folder / "checkpoints").latest() for folder in (whole, parts)]
    assert [state["step"] for state in states] == [4, 4]
    for name, tensor in states[0]["average"].items():
        assert torch.equal(tensor, states[1]["average"][name]), name


def test_an_export_is_read_beside_its_model(spec, tiny_folder, tmp_path):
    import shutil

    train_preview_slice(spec, SETTINGS, tmp_path / "run", 5)
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    export_preview(spec, SETTINGS, tmp_path / "run", folder / FILE)
    decoder = load_preview(read_preview(folder))
    with torch.no_grad():
        made = decoder(torch.zeros(1, 4, 3, 6, 8)).numpy()
    assert made.shape == (1, 3, 9, 48, 64) and np.isfinite(made).all()


def test_a_run_of_other_sizes_is_not_resumed(spec, tmp_path):
    train_preview_slice(spec, SETTINGS, tmp_path, 5)
    wider = SETTINGS.model_copy(update={"width": 16})
    with pytest.raises(BadInputError, match="is damaged|was made with decoder"):
        train_preview_slice(spec, wider, tmp_path, 5)


def test_what_cannot_be_exported_or_trained(spec, tmp_path):
    with pytest.raises(MissingFileError, match="src.train_preview --model"):
        export_preview(spec, SETTINGS, tmp_path, tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--minutes", "-1"], "0 or more"), (["--config", "nowhere.yaml"], "does not exist"),
     (["--model", "nano", "--minutes", "0"], "no training run"), (["--threads", "0"], "threads")],
)  # fmt: skip
def test_refusals(flags, words, home, capfd):
    result = CliRunner().invoke(train_preview_app(), flags)
    said = result.output + "".join(capfd.readouterr())
    assert result.exit_code == 2
    assert words in said and "Traceback" not in said


def test_a_run_of_another_vae_is_not_exported(spec, tiny_folder, tmp_path, monkeypatch):
    train_preview_slice(spec, SETTINGS, tmp_path / "run", 0.0)
    monkeypatch.setattr("src.recipes.preview.source.role_hash", lambda *_: "f" * 64)
    with pytest.raises(BadInputError, match="holds the run of another VAE; give --folder"):
        train_preview_slice(spec, SETTINGS, tmp_path / "run", 0.0)
