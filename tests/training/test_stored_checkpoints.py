"""States that lie in a bucket too: whose is newest, what a store that is away costs."""

import shutil

import pytest
import torch

from src.artifacts.memory import MemoryStore
from src.artifacts.store import StoreAwayError
from src.core.errors import BadInputError
from src.training.stored_checkpoints import StoredCheckpoints
from tests.s3_kit import s3_url, seaweed  # noqa: F401
from tests.training import lora_kit
from tests.training.lora_kit import weights

KEYS = [f"training/press-step-0000000{step}.pt" for step in (1, 2, 3)]


def _state(value):
    return {"step": value, "model": {"a": torch.full((3,), float(value))}, "average": {}}


@pytest.fixture
def files():
    return MemoryStore()


def test_the_last_two_states_lie_in_the_store(files, tmp_path):
    kept = StoredCheckpoints(tmp_path / "state", files, "press")
    for step in (1, 2, 3):
        kept.save(step, _state(step))
    assert sorted(files.list("training/")) == KEYS[1:]
    assert kept.steps() == kept.stored() == [2, 3]


def test_a_machine_that_has_none_or_an_older_one_takes_the_stores(files, tmp_path):
    first = StoredCheckpoints(tmp_path / "a", files, "press")
    first.save(1, _state(1))
    shutil.copytree(tmp_path / "a", tmp_path / "old")
    first.save(2, _state(2))
    for folder in ("new", "old"):
        found = StoredCheckpoints(tmp_path / folder, files, "press").latest()
        assert (found["step"], found["model"]["a"].tolist()) == (2, [2.0, 2.0, 2.0])
    assert not list((tmp_path / "new").glob(".*"))


def test_a_disk_that_has_a_newer_one_keeps_to_it(files, tmp_path):
    StoredCheckpoints(tmp_path / "a", files, "press").save(1, _state(1))
    here = StoredCheckpoints(tmp_path / "b", MemoryStore(), "press")
    here.save(5, _state(5))
    here.files = files
    assert here.latest()["step"] == 5


def test_other_runs_are_left_alone(files, tmp_path):
    other = StoredCheckpoints(tmp_path / "b", files, "press two")
    other.save(9, _state(9))
    kept = StoredCheckpoints(tmp_path / "a", files, "press")
    assert kept.latest() is None
    for step in (1, 2, 3):
        kept.save(step, _state(step))
    assert other.stored() == [9]


def test_a_store_that_is_away_costs_a_warning(tmp_path, caplog):
    class Away(MemoryStore):
        def put(self, *_, **__):
            raise StoreAwayError("the store does not answer")

    kept = StoredCheckpoints(tmp_path / "state", Away(), "press")
    final = kept.save(1, _state(1))
    assert (final / "state.pt").is_file()
    assert kept.steps() == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("encoded")
def test_a_run_goes_on_elsewhere_from_a_bucket(clip_set, tiny_folder, tmp_path, s3_url):  # noqa: F811
    whole = lora_kit.run(clip_set, tiny_folder, tmp_path / "whole" / "press", epochs=3)
    lora_kit.run(
        clip_set, tiny_folder, tmp_path / "first" / "press", epochs=3, steps=2, store=s3_url
    )
    shutil.rmtree(tmp_path / "first")
    final = lora_kit.run(
        clip_set, tiny_folder, tmp_path / "second" / "press", "latest", epochs=3, store=s3_url
    )
    one, two = weights(whole), weights(final)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_url_that_names_no_bucket_is_refused_before_anything_is_computed(
    clip_set, tiny_folder, tmp_path
):
    with pytest.raises(BadInputError, match="s3://"):
        lora_kit.run(clip_set, tiny_folder, tmp_path / "press", store="ftp://nowhere")
    assert not (tmp_path / "press").exists()
