"""The tiny blueprint is a real diffusers folder that the stock pipeline runs."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import BadInputError
from src.pipelines.blueprint import NANO, TINY
from src.pipelines.building import build_pipeline, train_tokenizer
from src.pipelines.cogvideox.building import autoencoder, text_encoder, transformer

WORDS = ["podium", "mayor", "briefing", "station", "harbour", "market", "bridge", "council"]
CORPUS = ["slow pan left across the podium", "press briefing at city hall, push in"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_pipeline(TINY, CORPUS, tmp_path_factory.mktemp("tiny"), seed=3)


@pytest.fixture(scope="module")
def pipeline(folder):
    from diffusers import CogVideoXImageToVideoPipeline

    loaded = CogVideoXImageToVideoPipeline.from_pretrained(folder, use_safetensors=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def _generate(pipeline, prompt="pan left", seed=0, num_frames=9):
    photograph = Image.fromarray(np.full((TINY.height, TINY.width, 3), 120, np.uint8))
    return pipeline(
        image=photograph, prompt=prompt, height=TINY.height, width=TINY.width,
        num_frames=num_frames, num_inference_steps=2, generator=torch.Generator().manual_seed(seed),
        max_sequence_length=TINY.text_length, output_type="np",
    ).frames[0]  # fmt: skip


@pytest.mark.parametrize("num_frames", [9, 17])
def test_stock_pipeline_runs(pipeline, num_frames):
    frames = _generate(pipeline, num_frames=num_frames)
    assert frames.shape == (num_frames, TINY.height, TINY.width, 3)
    assert np.isfinite(frames).all()


def test_seed_and_prompt_change_the_frames(pipeline):
    reference = _generate(pipeline)
    assert np.array_equal(reference, _generate(pipeline))
    assert not np.array_equal(reference, _generate(pipeline, seed=1))
    assert not np.array_equal(reference, _generate(pipeline, prompt="push in"))


@pytest.mark.parametrize("corpus", [CORPUS, [f"{word} {word[::-1]}" for word in WORDS]])
def test_the_same_corpus_gives_the_same_pieces_numbers_and_scores(corpus):
    first, *others = (train_tokenizer(corpus, 120, 32).backend_tokenizer.to_str() for _ in range(6))
    assert all(other == first for other in others)


def test_same_seed_writes_the_same_weights(folder, tmp_path):
    again = build_pipeline(TINY, CORPUS, tmp_path / "again", seed=3)
    other = build_pipeline(TINY, CORPUS, tmp_path / "other", seed=4)
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (folder / name).read_bytes() == (again / name).read_bytes()
    assert (folder / name).read_bytes() != (other / name).read_bytes()


def test_every_scheduler_field_is_written(folder):
    written = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    for name, value in dataclasses.asdict(TINY.scheduler).items():
        assert written[name] == value


def test_only_safetensors(folder):
    assert not list(folder.rglob("*.bin"))
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2_000_000


def test_unseen_letters_are_not_unknown(pipeline):
    ids = pipeline.tokenizer("Zürich, 7 June").input_ids
    assert pipeline.tokenizer.unk_token_id not in ids


def test_nano_sizes():
    def count(module):
        return sum(tensor.numel() for tensor in module.state_dict().values())

    total = (
        count(transformer(NANO))
        + count(autoencoder(NANO))
        + count(text_encoder(NANO, NANO.vocab_size))
    )
    assert 2 * total < 23_700_000


@pytest.mark.parametrize(
    ("change", "word"),
    [({"height": 40}, "multiple of 16"), ({"num_frames": 13}, "49"), ({"vae_groups": 3}, "divide"),
     ({"head_dim": 20}, "multiple of 16"), ({"temporal_ratio": 2}, "1 or 4")],
)  # fmt: skip
def test_impossible_sizes_are_refused(change, word):
    with pytest.raises(BadInputError, match=word):
        dataclasses.replace(TINY, **change)


def test_empty_corpus_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="corpus"):
        build_pipeline(TINY, ["", " "], tmp_path, seed=0)
