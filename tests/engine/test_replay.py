"""A manifest is run again, or refused."""

import json

import pytest
import torch

from src.core.errors import (
    BadInputError,
    MissingFileError,
)
from src.core.plan import Plan
from src.engine.generate import generate
from src.engine.manifest import read_manifest
from src.engine.replay import differences, prepare_replay


def test_replay_gives_the_frames_even_when_the_photograph_moved(make, photograph, tiny_folder, cpu):
    result = make()
    photograph.unlink()
    replay = prepare_replay(result.manifest, str(tiny_folder))
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert again.path != result.path
    assert differences(replay.manifest, again, cpu) == ""
    changed = replay.manifest.model_copy(update={"frame_sha256": "0" * 64})
    assert "the frames differ" in differences(changed, again, cpu)
    assert "machine and versions are the same" in differences(changed, again, cpu)
    elsewhere = changed.model_copy(update={"threads": torch.get_num_threads() + 2})
    told = f"CPU threads {elsewhere.threads} -> {torch.get_num_threads()} (OMP_NUM_THREADS"
    assert told in differences(elsewhere, again, cpu)


def test_replay_refuses_other_weights_and_lost_photographs(make, home, tiny_folder):
    result = make()
    data = json.loads(result.manifest.read_text("utf-8"))
    data["plan"]["weights"]["vae/diffusion_pytorch_model.safetensors"] = "0" * 64
    data["plan_sha256"] = Plan.model_validate(data["plan"]).digest()
    other = result.manifest.with_name("other.json")
    other.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="other weights than the manifest names: vae/"):
        prepare_replay(other, str(tiny_folder))
    for kept in (home / "photographs").iterdir():
        kept.unlink()
    with pytest.raises(MissingFileError, match="photograph"):
        prepare_replay(result.manifest, str(tiny_folder))


@pytest.mark.parametrize(
    "data", ["not json", "[]", '{"schema_version": 99}', '{"schema_version": 1}']
)
def test_what_is_no_manifest_is_refused(tmp_path, data):
    path = tmp_path / "m.json"
    path.write_text(data)
    with pytest.raises(BadInputError):
        read_manifest(path)


def test_replay_refuses_a_plan_edited_by_hand(make, tiny_folder):
    result = make()
    data = json.loads(result.manifest.read_text("utf-8"))
    data["plan"]["num_frames"] = 10
    result.manifest.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="plan_sha256"):
        prepare_replay(result.manifest, str(tiny_folder))


def test_replay_of_a_folder_model_asks_for_the_folder(make):
    with pytest.raises(BadInputError, match="--model PATH"):
        prepare_replay(make().manifest)
