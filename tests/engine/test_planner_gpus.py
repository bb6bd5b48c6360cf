"""Plans for several GPUs."""

from types import SimpleNamespace

import pytest

from src.core.errors import BadInputError
from src.core.plan import Division
from src.core.prompts import load_templates
from src.engine.planner import choices
from src.engine.replay import check_hardware
from src.engine.resolve import resolve
from src.pipelines.cogvideox.family import CogVideoX
from src.pipelines.folder_files import read_folder_files
from tests.engine.planner_kit import SPEC, gpu, request


def test_several_gpus_are_refused_where_there_are_fewer():
    assert choices(request(gpus=4), SPEC, gpu(140, count=4))
    with pytest.raises(BadInputError, match="--gpus 4: this machine has 2 GPUs"):
        choices(request(gpus=4), SPEC, gpu(140, count=2))
    with pytest.raises(BadInputError, match="--gpus 2: this machine has 1 GPU;"):
        choices(request(gpus=2), SPEC, gpu(140))


def test_a_worker_takes_no_more_devices_than_it_holds():
    for machine in (gpu(140, count=8), gpu(140).model_copy(update={"device": "cpu"})):
        with pytest.raises(BadInputError, match="--gpus 4: this worker holds 2 devices for a clip"):
            choices(request(gpus=4), SPEC, machine.model_copy(update={"held": 2}))
    assert choices(request(gpus=2), SPEC, gpu(140, count=8).model_copy(update={"held": 2}))


def test_several_gpus_take_no_cache_that_each_would_decide_by_itself():
    chosen = choices(request(gpus=2), SPEC, gpu(140, count=2))
    assert (chosen[0].profile.name, chosen[0].profile.cache) == ("fast", "none")
    assert all(choice.profile.cache != "first_block" for choice in chosen)
    with pytest.raises(BadInputError, match="--cache first_block does not go with --gpus 2"):
        choices(request(gpus=2, cache="first_block=0.1"), SPEC, gpu(140, count=2))
    for cache in ("taylorseer", "pyramid"):
        found = choices(request(gpus=2, cache=cache), SPEC, gpu(140, count=2))
        assert found[0].profile.cache == cache


def test_several_gpus_hold_the_transformer_each():
    chosen = choices(request(gpus=2), SPEC, gpu(140, count=2))
    assert {choice.profile.offload for choice in chosen} <= {"none", "text", "model"}
    with pytest.raises(BadInputError, match="--offload group does not go with --gpus 2"):
        choices(request(gpus=2, offload="group"), SPEC, gpu(140, count=2))
    with pytest.raises(BadInputError, match="--profile stream does not go with --gpus 2"):
        choices(request(gpus=2, profile="stream"), SPEC, gpu(140, count=2))


def test_several_processes_copy_weights_of_another_dtype_once_each():
    """As they are stored they are mapped from their files, which all share."""
    machine = gpu(80, count=4, host_memory=64 << 30, free_host_memory=40 << 30)
    assert choices(request(gpus=4), SPEC, machine)
    assert choices(request(dtype="float16"), SPEC, machine)
    with pytest.raises(BadInputError, match="of the machine's own memory"):
        choices(request(dtype="float16", gpus=4), SPEC, machine)


def test_the_plan_says_how_processes_share_the_forwards(tiny_folder, monkeypatch):
    """The tiny model has two heads."""
    asked = request(gpus=2)
    files = read_folder_files(SPEC, tiny_folder, gpus=2)
    machine = gpu(140, count=8)
    made = resolve(asked, SPEC, machine, load_templates(), {}, "", 0, files=files)[0]
    assert (made.session.gpus, made.division) == (
        2, Division(branches=2, sequence=1, unguided=2)
    )  # fmt: skip
    with pytest.raises(
        BadInputError, match="--gpus 8 .* 2 attention heads .* with guidance 2 or 4"
    ):
        resolve(request(gpus=8), SPEC, machine, load_templates(), {}, "", 0, files=files)
    monkeypatch.setattr(CogVideoX, "heads", lambda *_: None)
    with pytest.raises(BadInputError, match="--gpus 2 does not apply to cogvideox-5b-i2v"):
        read_folder_files(SPEC, tiny_folder, gpus=2)
    alone = read_folder_files(SPEC, tiny_folder)
    assert (
        resolve(request(), SPEC, machine, load_templates(), {}, "", 0, files=alone)[0].division
        is None
    )


def test_a_replay_needs_as_many_gpus():
    asked = request(gpus=4)
    plan = resolve(asked, SPEC, gpu(140, count=4), load_templates(), {}, "", 0)[0]
    manifest = SimpleNamespace(plan=plan)
    check_hardware(manifest, gpu(140, count=4))
    with pytest.raises(BadInputError, match="made on 4 GPUs, and this machine has 1"):
        check_hardware(manifest, gpu(140))
