"""A slice of the whole recipe ends in a folder that the stock pipeline runs."""

import dataclasses
from pathlib import Path

import pytest
import torch

from src.core.config import load
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CONFIGS
from src.media.images import fit_photograph
from src.training.checkpoints import CheckpointManager
from src.training.run_embedded import STAGES, Slice, export, run_slice, start_from, train_stage, usual_stages
from src.training.settings import EmbeddedSettings, Stage
from src.training.sheets import sample


def test_a_slice_exports_a_stock_pipeline(small, settings, tmp_path, pixels):
    from diffusers import CogVideoXImageToVideoPipeline

    folder = run_slice(settings, tmp_path / "run", Slice(minutes=0.02), small)
    (folder / "README.md").write_text("card")
    again = run_slice(settings, tmp_path / "run", Slice(minutes=0.01, stages=("transformer",)), small)
    assert (again / "README.md").read_text("utf-8") == "card"
    pipeline = CogVideoXImageToVideoPipeline.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    photograph = fit_photograph(pixels, small.width, small.height, "cover")
    clip = sample(pipeline, photograph, "pan left", num_frames=9, seed=0, steps=2, guidance=3.0)
    assert clip.shape == (9, small.height, small.width, 3)


@pytest.mark.parametrize(("stages", "positions"), [(STAGES, False), (("decoder",), True), ((), True)])
def test_a_new_run_starts_from_an_exported_pipeline(small, settings, tmp_path, stages, positions):
    small = dataclasses.replace(small, positions=positions)  # nano's are a buffer in its files
    exported = run_slice(settings, tmp_path / "run", Slice(minutes=0.02), small)
    start_from(exported, tmp_path / "next")
    assert (usual_stages(tmp_path / "run"), usual_stages(tmp_path / "next")) == (STAGES, ("decoder", "transformer"))
    for name in stages:
        train_stage(name, settings, tmp_path / "next", 0.0, blueprint=small)
    again = export(settings, tmp_path / "next", tmp_path / "again", small)
    weights = sorted(file.relative_to(exported) for file in exported.rglob("*.safetensors"))
    assert {file.parts[0] for file in weights} >= {"transformer", "text_encoder", "vae"}
    for file in weights:
        assert (again / file).read_bytes() == (exported / file).read_bytes(), file
    tokenizer = Path("tokenizer") / "tokenizer.json"
    assert (again / tokenizer).read_bytes() == (exported / tokenizer).read_bytes()
    with pytest.raises(BadInputError, match="holds a run already"):
        start_from(exported, tmp_path / "next")
    with pytest.raises(MissingFileError, match="exported"):
        start_from(tmp_path, tmp_path / "third")


def test_the_transformer_begins_with_the_words_of_the_text_stage(small, settings, tmp_path):
    train_stage("text", settings, tmp_path, 2.0, blueprint=small)
    train_stage("transformer", settings, tmp_path, 0.0, blueprint=small)
    states = {name: CheckpointManager(tmp_path / name).latest() for name in ("text", "transformer")}
    assert states["text"]["step"] > 0
    name = "text_encoder.encoder.block.0.layer.0.SelfAttention.q.weight"
    assert torch.equal(states["text"]["average"][name], states["transformer"]["model"][name])


def test_nothing_to_export(small, settings, tmp_path):
    with pytest.raises(MissingFileError, match="train_embedded"):
        export(settings, tmp_path / "empty", tmp_path / "out", small)


def test_the_shipped_settings_load():
    settings = load(CONFIGS / "training" / "embedded.yaml", EmbeddedSettings)
    for stage in (settings.decoder, settings.transformer):
        for step in (0, 1000, 10**6):
            assert set(stage.lengths(step)) <= set(stage.batches)


def test_lengths_that_do_not_come_out_exact_are_refused():
    from src.core.config import validate

    data = {"steps": 1, "share": 1, "batches": {13: 1}, "draw": {0: {13: 1.0}}}
    with pytest.raises(BadInputError, match="8k\\+1"):
        validate(data, Stage, "test")
