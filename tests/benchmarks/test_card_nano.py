"""The rehearsal of a card's minutes ends in parts that come together as a pipeline."""

import json

import pytest
import torch

from benchmarks import card_nano
from src.core.errors import MissingFileError


def test_a_rehearsal_leaves_weights_and_figures(tmp_path, monkeypatch):
    from diffusers import CogVideoXImageToVideoPipeline

    monkeypatch.setattr(card_nano, "PART", 200_000)
    figures = card_nano.train(0.05, tmp_path, rehearse=True)
    assert figures["transformer_steps"] > 0
    assert figures["clips_at_least"] == 3 * figures["transformer_steps"]
    parts = sorted(tmp_path.glob("nano.tar.*"))
    assert len(parts) > 1
    assert {file.name for file in tmp_path.iterdir()} == {
        "nano.json",
        *(part.name for part in parts),
    }
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "README.md").write_text("card")
    folder = card_nano.unpack(tmp_path, tmp_path / "to")
    assert (folder / "README.md").read_text() == "card"
    pipeline = CogVideoXImageToVideoPipeline.from_pretrained(folder, use_safetensors=True)
    assert pipeline.transformer.dtype == torch.float32


def failing(message):
    """In a function's place."""

    def fails(*_):
        raise RuntimeError(message)

    return fails


def test_a_stage_that_fails_leaves_what_the_others_trained(tmp_path, monkeypatch):
    from src.recipes.embedded.transformer import TransformerRecipe

    monkeypatch.setattr(TransformerRecipe, "loss", failing("CUDA out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        card_nano.train(0.05, tmp_path, rehearse=True)
    figures = json.loads((tmp_path / "nano.json").read_bytes())
    assert figures["error"] == "RuntimeError: CUDA out of memory"
    assert figures["decoder_steps"] > 0 == figures["transformer_steps"]
    assert (card_nano.unpack(tmp_path, tmp_path / "to") / "model_index.json").is_file()


def test_what_fails_before_a_stage_begins_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(card_nano, "train_slice", failing("no photographs"))
    with pytest.raises(RuntimeError, match="no photographs"):
        card_nano.train(0.05, tmp_path, rehearse=True)


def test_a_folder_without_parts_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"nano\.tar\.00"):
        card_nano.unpack(tmp_path, tmp_path / "to")
