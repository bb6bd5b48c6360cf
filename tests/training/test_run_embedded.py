"""A slice of the whole recipe ends in a folder that the stock pipeline runs."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import CogVideoXImageToVideoPipeline
from PIL import Image

from src.core.config import load_config, validate
from src.core.errors import BadInputError, MissingFileError, OutputError
from src.core.paths import CONFIGS
from src.media.images import fit_photograph
from src.pipelines.blueprint import NANO
from src.recipes.embedded import run as run_embedded
from src.recipes.embedded.beyond import with_reflection
from src.recipes.embedded.moments import drawn_moments, moments_of
from src.recipes.embedded.parts import prepare_parts
from src.recipes.embedded.run import (
    STAGES,
    USUAL,
    Slice,
    export_embedded,
    start_from,
    train_slice,
    train_stage,
    trained,
    usual_stages,
)
from src.recipes.embedded.settings import EmbeddedSettings, Teaching, TransformerStage
from src.recipes.embedded.sheets import PROMPTS, SHOWN, sample_clips, write_sheet
from src.recipes.embedded.transformer import TransformerRecipe
from src.recipes.embedded.weighing import cell_weights
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer
from tests.small_disk import small_disk


@pytest.fixture(scope="module")
def sliced(small, settings, tmp_path_factory):
    """The folder of a run that was trained for a slice; what it exported is in `pipeline`."""
    folder = tmp_path_factory.mktemp("sliced") / "run"
    assert train_slice(settings, folder, Slice(minutes=0.02), small) == folder / "pipeline"
    return folder


def test_a_slice_exports_a_stock_pipeline(small, settings, sliced, tmp_path, pixels):
    shutil.copytree(sliced, tmp_path / "run")
    folder = tmp_path / "run" / "pipeline"
    (folder / "README.md").write_text("card")
    again = train_slice(
        settings, tmp_path / "run", Slice(minutes=0.01, stages=("transformer",)), small
    )
    assert (again / "README.md").read_text("utf-8") == "card"
    pipeline = CogVideoXImageToVideoPipeline.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    photograph = fit_photograph(pixels, small.width, small.height, "cover")
    clip = sample_clips(
        pipeline, photograph, "pan left", num_frames=9, seed=0, steps=2, guidance=3.0
    )
    assert clip.shape == (9, small.height, small.width, 3)


def test_a_sheet_shows_each_prompt_under_its_name(small, settings, tmp_path):
    train_stage("text", settings, tmp_path, 0.0, blueprint=small)
    pipeline = trained(settings, tmp_path, small)[0].pipeline
    sheet = write_sheet(pipeline, tmp_path / "sheets" / "text.png", small, num_frames=9)
    with Image.open(sheet) as picture:
        assert picture.size == (SHOWN * small.width, len(PROMPTS) * (small.height + 16))


def test_what_is_exported_runs_in_a_plain_script_with_every_default(small, sliced, pixels):
    pipeline = CogVideoXImageToVideoPipeline.from_pretrained(sliced / "pipeline")
    assert {part.dtype for part in (pipeline.text_encoder, pipeline.vae, pipeline.transformer)} == {
        torch.float32
    }
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler.set_timesteps = partial(_few, pipeline.scheduler.set_timesteps)
    frames = pipeline(image=Image.fromarray(pixels), prompt="pan left").frames[0]
    assert (len(frames), frames[0].size) == (49, (small.width, small.height))


def _few(set_timesteps, count, **options):
    """Two steps in place of the default fifty: the same road in less time."""
    set_timesteps(min(count, 2), **options)


@pytest.mark.parametrize("stages", [STAGES, ("decoder",), ()])
def test_a_new_run_starts_from_an_exported_pipeline(small, settings, sliced, tmp_path, stages):
    exported = sliced / "pipeline"
    start_from(exported, tmp_path / "next", small)
    assert (usual_stages(sliced), usual_stages(tmp_path / "next")) == (
        USUAL,
        ("decoder", "transformer"),
    )
    for name in stages:
        train_stage(name, settings, tmp_path / "next", 0.0, blueprint=small)
    again = export_embedded(settings, tmp_path / "next", tmp_path / "again", small)
    weights = sorted(file.relative_to(exported) for file in exported.rglob("*.safetensors"))
    assert {file.parts[0] for file in weights} >= {"transformer", "text_encoder", "vae"}
    for file in weights:
        assert (again / file).read_bytes() == (exported / file).read_bytes(), file
    tokenizer = Path("tokenizer") / "tokenizer.json"
    assert (again / tokenizer).read_bytes() == (exported / tokenizer).read_bytes()
    with pytest.raises(BadInputError, match="holds a run already"):
        start_from(exported, tmp_path / "next", small)
    with pytest.raises(MissingFileError, match="exported"):
        start_from(tmp_path, tmp_path / "third", small)
    with pytest.raises(BadInputError, match="latent_channels 8, the recipe makes 6"):
        start_from(exported, tmp_path / "third", replace(small, latent_channels=6))


def test_a_transformer_of_another_form_begins_anew(small, settings, run_folder, tmp_path):
    exported = export_embedded(settings, run_folder, tmp_path / "out", small)
    wider = replace(small, heads=6)
    start_from(exported, tmp_path / "next", wider)
    prepared, _ = trained(settings, tmp_path / "next", wider)
    assert prepared.pipeline.transformer.config.num_attention_heads == 6
    old = CogVideoXImageToVideoPipeline.from_pretrained(exported, use_safetensors=True)
    found, kept = (each.vae.decoder.state_dict() for each in (prepared.pipeline, old))
    assert all(torch.equal(found[name], tensor) for name, tensor in kept.items())


def test_the_teaching_falls_to_nothing_over_its_share_of_the_steps():
    teaching = Teaching(blocks=(0,), until=0.5)
    stage = TransformerStage(
        steps=100, share=1, batches={2: 1}, draw={0: {2: 1.0}}, teaching=teaching
    )
    assert [stage.taught(step) for step in (0, 25, 50, 99)] == pytest.approx([1, 0.5, 0, 0])
    assert not stage.model_copy(update={"teaching": Teaching()}).taught(0)


def test_a_step_in_bfloat16_is_taught_too(small, settings, run_folder, tmp_path):
    prepared = prepare_parts(small, settings, run_folder)
    stage = settings.transformer.model_copy(
        update={"teaching": Teaching(blocks=(0, 1)), "steps": 2}
    )
    recipe = TransformerRecipe(prepared, stage, settings)
    trainer = Trainer(recipe, stage, 1, CheckpointManager(tmp_path), bf16=True)
    before = recipe.read_out.weight.detach().clone()
    trainer.run(60)
    assert not torch.equal(recipe.read_out.weight, before)


def test_what_is_taught_adds_to_the_loss(small, settings, run_folder):
    losses = []
    for blocks in ((), (0, 1)):
        prepared = prepare_parts(small, settings, run_folder)
        stage = settings.transformer.model_copy(update={"teaching": Teaching(blocks=blocks)})
        recipe = TransformerRecipe(prepared, stage, settings)
        batch = recipe.batch(0)
        losses.append(float(recipe.loss(batch, torch.Generator().manual_seed(0)).detach()))
    assert losses[1] > losses[0] + 0.1


def test_the_transformer_begins_with_the_words_of_the_text_stage(small, settings, tmp_path):
    train_stage("text", settings, tmp_path, 2.0, blueprint=small)
    train_stage("transformer", settings, tmp_path, 0.0, blueprint=small)
    states = {name: CheckpointManager(tmp_path / name).latest() for name in ("text", "transformer")}
    assert states["text"]["step"] > 0
    name = "text_encoder.encoder.block.0.layer.0.SelfAttention.q.weight"
    assert torch.equal(states["text"]["average"][name], states["transformer"]["model"][name])


def test_nothing_to_export(small, settings, tmp_path):
    with pytest.raises(MissingFileError, match="train_embedded"):
        export_embedded(settings, tmp_path / "empty", tmp_path / "out", small)


@pytest.mark.parametrize("name", ["embedded", "embedded_card", "embedded_steady"])
def test_the_shipped_settings_load(name):
    settings = load_config(CONFIGS / "training" / f"{name}.yaml", EmbeddedSettings)
    for step in (0, 1000, 10**6):
        lengths = settings.transformer.lengths(step)
        assert max(lengths) <= NANO.token_frames
        assert sum(lengths.values()) == pytest.approx(1)


def test_token_frames_without_a_batch_are_refused():
    data = {"steps": 1, "share": 1, "batches": {4: 1}, "draw": {0: {4: 0.5, 7: 0.5}}}
    with pytest.raises(BadInputError, match="\\[7\\] token frames"):
        validate(data, TransformerStage, "test")
    with pytest.raises(BadInputError, match="share 0"):
        validate(data | {"draw": {0.5: {4: 1.0}}}, TransformerStage, "test")


def test_longer_clips_come_with_their_share_of_the_steps():
    stage = TransformerStage(
        steps=10, share=1, batches={2: 1, 7: 1}, draw={0: {2: 1.0}, 0.6: {7: 1.0}}
    )
    assert [list(stage.lengths(step)) for step in (0, 5, 6, 9)] == [[2], [2], [7], [7]]


def test_a_token_frame_shows_four_frames_and_the_first_one_the_photograph():
    moments = moments_of(np.array([0, 1, 12]), NANO)
    assert moments.frames.tolist() == [0] * 4 + list(range(1, 5)) + list(range(45, 49))


def test_neighbouring_token_frames_come_from_anywhere_in_the_clip(small, settings, run_folder):
    prepared = prepare_parts(small, settings, run_folder)
    stage = settings.transformer.model_copy(update={"contiguous": 1.0, "steady": 10.0})
    recipe = TransformerRecipe(prepared, stage, settings)
    random, starts = np.random.default_rng(0), set()
    for step in range(20):
        groups = drawn_moments(stage, step, small, random).groups
        assert groups[0] == 0 and (np.diff(groups[1:]) == 1).all()
        assert groups[-1] < small.token_frames
        starts.add(int(groups[1]))
    assert len(starts) > 1
    batch, plain = recipe.batch(0), settings.transformer.model_copy(update={"contiguous": 1.0})
    losses = []
    for chosen in (stage, plain):
        recipe.stage = chosen
        losses.append(recipe.loss(batch, torch.Generator().manual_seed(0)).item())
    assert losses[0] > losses[1]


def test_samples_hold_the_positions_of_the_token_frames_they_show(small, settings, run_folder):
    prepared = prepare_parts(small, settings, run_folder)
    recipe = TransformerRecipe(prepared, settings.transformer, settings)
    drawn = [recipe.batch(step) for step in range(6)]
    tokens = small.height * small.width // 8**2
    for batch in drawn:
        held = batch["clean"].shape[1] // 4
        assert batch["rotary"].shape[:2] == (2, held * tokens)
        assert torch.equal(batch["rotary"][0, :tokens], recipe.rotary[0][0])
        # the photograph, padded
        assert torch.allclose(batch["clean"][:, 0], batch["clean"][:, 3], atol=0.1)
    assert {batch["ids"].shape[1] for batch in drawn} <= {small.text_length, 226}


def test_rotary_positions_are_the_pipelines(small, settings, run_folder):
    prepared = prepare_parts(small, settings, run_folder)
    recipe = TransformerRecipe(prepared, settings.transformer, settings)
    whole = prepared.pipeline._prepare_rotary_positional_embeddings(
        small.height, small.width, 12, "cpu"
    )
    assert all(
        torch.equal(table.flatten(0, 1), other)
        for table, other in zip(recipe.rotary, whole, strict=True)
    )


def test_stages_share_what_preparing_left_of_the_time(tmp_path, monkeypatch):

    given = []

    def stage(name, settings, folder, seconds, *_):
        given.append(round(seconds, 3))
        clock[0] += seconds + 30  # overrun by what it prepared

    clock = [0.0]
    monkeypatch.setattr(run_embedded, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(run_embedded, "train_stage", stage)
    monkeypatch.setattr(run_embedded, "export_embedded", lambda *_: None)
    settings = load_config(CONFIGS / "training" / "embedded_card.yaml", EmbeddedSettings)
    train_slice(settings, tmp_path, Slice(minutes=10))
    assert given == pytest.approx([120, 45, 375], abs=0.1)  # of 600 s: 0.2; 0.1 of 450; all 375
    given.clear()
    train_slice(settings, tmp_path, Slice(minutes=1))
    assert given[-1] == pytest.approx(0.5 * 0.72 * 60, abs=0.1)


def test_a_full_disk_is_a_sentence_and_the_former_export_stays(small, settings, tmp_path):
    train_stage("text", settings, tmp_path / "run", 0.0, blueprint=small)
    with small_disk(tmp_path, 64) as disk:
        (disk / "out").mkdir()
        (disk / "out" / "former").write_text("kept")
        with pytest.raises(OutputError, match=r"the disk is full: .*--export"):
            export_embedded(settings, tmp_path / "run", disk / "out", small)
        assert [path.name for path in disk.rglob("*")] == ["out", "former"]


def test_beyond_the_photograph_lies_its_soft_reflection():
    random = torch.Generator().manual_seed(0)
    photograph = torch.rand(1, 3, 32, 48, generator=random) * 2 - 1
    videos = photograph[:, :, None].repeat(1, 1, 2, 1, 1)
    shifts = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(1, 2, 1, 1)
    shifts[0, 1, 0, 2] = 12.0  # the picture moved to the right by 12 pixels
    shown = with_reflection(videos, shifts)
    assert torch.equal(shown[:, :, 0], photograph)
    assert torch.equal(shown[:, :, 1, :, 12:], videos[:, :, 1, :, 12:])
    beyond, mirrored = shown[0, :, 1, :, :12], photograph[0, :, :, 1:13].flip(-1)
    assert beyond.std() < 0.6 * mirrored.std()  # soft
    coarse = [F.avg_pool2d(part[None], (16, 12)) for part in (beyond, mirrored)]
    assert (coarse[0] - coarse[1]).abs().max() < 0.1  # and of the same colours


def test_the_reflection_moves_with_the_camera():
    photograph = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    videos = photograph[:, :, None].repeat(1, 1, 2, 1, 1)
    shifts = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(1, 2, 1, 1)
    shifts[0, 0, 0, 2], shifts[0, 1, 0, 2] = 8.0, 11.0
    shown = with_reflection(videos, shifts)
    assert torch.allclose(shown[:, :, 0, :, :8], shown[:, :, 1, :, 3:11], atol=1e-4)


def test_a_scene_of_one_layer_is_reflected_and_counts_whole(small, settings, run_folder):
    prepared = prepare_parts(small, settings, run_folder)
    update = {"reflect": True, "outside": 0.0}
    stage = settings.transformer.model_copy(update=update)
    recipe = TransformerRecipe(prepared, stage, settings)
    batch = recipe.batch(0)
    batch["flat"][0] = False
    counts = recipe._counted(batch)
    assert (counts[1:] == 1).all()
    plain = cell_weights(batch["motions"], recipe.cells, recipe.ratio, 0.0)
    assert torch.equal(counts[0], plain[0])


@pytest.mark.parametrize("steady", [0.0, 10.0])
def test_where_all_counts_alike_no_mask_is_made_and_the_loss_is_the_same(
    small, settings, run_folder, monkeypatch, steady
):
    prepared = prepare_parts(small, settings, run_folder)
    stage = settings.transformer.model_copy(update={"contiguous": 1.0, "steady": steady})
    recipe = TransformerRecipe(prepared, stage, settings)
    batch = recipe.batch(0)
    assert recipe._counted(batch) is None
    plain = recipe.loss(batch, torch.Generator().manual_seed(1))
    ones = torch.ones_like(cell_weights(batch["motions"], recipe.cells, recipe.ratio, 0.5))
    monkeypatch.setattr(recipe, "_counted", lambda _: ones)
    assert torch.equal(recipe.loss(batch, torch.Generator().manual_seed(1)), plain)
    recipe.close()
