"""Buckets, batches, the address of what is cached, and a model's own settings."""

import pytest

from src.core.errors import BadInputError
from src.media.clips import Sampling
from src.pipelines.families import family_named
from src.recipes.lora.buckets import Batches, pick_bucket
from src.recipes.lora.encoding_cache import EncodingCache, encoders_of
from src.recipes.lora.settings import LoraSettings, for_model


def test_buckets_go_by_length_then_shape():
    buckets = [Sampling(f, 8.0, w, h) for f in (9, 17) for w, h in ((64, 48), (48, 64))]
    assert pick_bucket(20, 8, 90, 160, buckets, "x") == Sampling(17, 8.0, 48, 64)
    assert pick_bucket(10, 8, 160, 90, buckets, "x") == Sampling(9, 8.0, 64, 48)
    with pytest.raises(BadInputError, match="too short"):
        pick_bucket(8, 8, 64, 48, buckets, "x")


def test_batches_are_whole_of_one_bucket_and_a_function_of_the_step():
    small, large = Sampling(9, 8.0, 64, 48), Sampling(17, 8.0, 64, 48)
    one, other = (Batches({small: [0, 1, 2], large: [3, 4]}, 2, 2, seed=1) for _ in range(2))
    assert one.steps_per_epoch == 5
    other.batch(9)
    for step in range(10):
        assert one.batch(step) == other.batch(step)
        assert len(one.batch(step)[1]) == 2
    for epoch in range(2):
        drawn = [draw.clip for step in range(5) for draw in one.batch(5 * epoch + step)[1]]
        assert all(drawn.count(clip) >= 2 for clip in range(5))
    seeds = [draw.seed for step in range(10) for draw in one.batch(step)[1]]
    assert len(set(seeds)) == 20


def test_the_cache_is_addressed_by_content():
    size = Sampling(9, 8.0, 64, 48)
    base = encoders_of(
        family_named("cogvideox"), {"vae/a": "1", "text_encoder/a": "2"}, "float32", 32
    )
    other_vae = encoders_of(
        family_named("cogvideox"), {"vae/a": "3", "text_encoder/a": "2"}, "float32", 32
    )
    keys = {
        base.clip_address("video", "image", size, 4), base.clip_address("other", "image", size, 4),
        base.clip_address("video", "", size, 4),
        base.clip_address("video", "image", Sampling(9, 4.0, 64, 48), 4),
        base.clip_address("video", "image", size, 5),
        other_vae.clip_address("video", "image", size, 4), base.text_address("a"),
        base.text_address("b"),
    }  # fmt: skip
    assert len(keys) == 8
    assert other_vae.text_address("a") == base.text_address("a")
    assert not EncodingCache().has(next(iter(keys)))


def test_a_models_section_goes_over_the_general_settings():
    settings = LoraSettings(
        rank=8,
        rate={"peak": 1e-3, "warmup": 7},
        models={"nano": {"rank": 4, "rate": {"peak": 2.0}}},
    )
    merged = for_model(settings, "nano")
    assert (merged.rank, merged.rate.peak, merged.rate.warmup) == (4, 2.0, 7)
    assert for_model(settings, "other").rank == 8
    with pytest.raises(BadInputError, match="unknown key 'ranks'"):
        for_model(LoraSettings(models={"nano": {"ranks": 4}}), "nano")
