"""What every family must do, so that the engine and the trainer need to know none of them.

One more family is one more parameter of `kit`.
"""

import hashlib
import json
import re
from dataclasses import fields

import pytest
import torch

from src.artifacts.memory import MemoryStore
from src.artifacts.store import keep
from src.core.addresses import stored_address, stored_key
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.core.progress import CancelToken, ignore
from src.core.request import Request
from src.engine.batching.jobs_file import read_batch
from src.engine.batching.run import plan_batch, run_batch
from src.engine.generate import generate, plans_for, prepare, sized
from src.engine.manifest import read_manifest
from src.engine.replay import prepare_replay
from src.evaluation.memory import card
from src.jobs.model import Job, State
from src.media.reader import VideoReader
from src.pipelines import families
from src.pipelines.fake.family import Fake
from src.pipelines.fake.parts import build_fake
from src.pipelines.families import family_of, parts_in
from src.pipelines.family import parts_of
from src.pipelines.learning import NoisedBatch
from src.pipelines.loading import DTYPES, read_pipeline
from src.pipelines.locate import locate
from src.recipes.lora.layers import target_layers, training_of
from src.worker.engine_runner import EngineRunner
from src.worker.runners import RunContext
from tests.contracts.family.kits import CPU


def test_the_folder_says_which_family_it_is(family, spec, folder, kit):
    assert family.name == spec.family == kit.family
    assert family_of(spec) is family
    assert locate(spec) == folder
    assert spec.sizes.allows(spec.native)
    assert spec.defaults.num_frames == kit.frames


def test_a_count_that_breaks_the_rule_names_the_nearest(spec, kit):
    count, nearest = kit.wrong
    with pytest.raises(BadInputError, match=f"nearest that works: {nearest}"):
        spec.check_frames(count)
    assert not spec.frames.allows(count)
    assert kit.frames in spec.frames.counts


def test_every_part_is_where_the_family_says(family, folder):
    pipe = read_pipeline(folder, torch.float32)
    for part in parts_in(family, folder):
        module = getattr(pipe, part.name)
        assert sum(p.numel() for p in module.parameters()) > 0
        if part.blocks:
            assert len(part.blocks_of(module)) > 0
    if "optimized" not in family.modes:
        return
    for part in parts_of(family, "denoiser"):
        for block in part.blocks_of(getattr(pipe, part.name)):
            assert {part.attention, part.feed_forward} <= set(part.inside)
            assert all(block.get_submodule(name) is not None for name in part.inside)
            assert isinstance(block.get_submodule(part.queries), torch.nn.Linear)
        assert all(target_layers(getattr(pipe, part.name), [name]) for name in family.lora_targets)


def test_a_part_can_be_read_without_the_others(family, folder):
    for part in parts_in(family, folder):
        pipe = read_pipeline(folder, torch.float32, (part.name,))
        there = [other.name for other in family.parts if getattr(pipe, other.name) is not None]
        assert there == [part.name]


@pytest.mark.parametrize("mode", ["optimized", "baseline"])
def test_the_engine_renders_records_and_replays_a_clip(
    folder, kit, photograph, tmp_path, mode, spec, family
):
    """The whole road, with no word of the family in it."""
    wish = Request(
        input_image=photograph,
        prompt=kit.prompt,
        model=str(folder),
        mode=mode,
        seed=5,
        score=False,
        num_inference_steps=2,
        output_path=tmp_path / "clip.mp4",
    )
    if mode not in family.modes:
        with pytest.raises(BadInputError, match=f"mode {mode} does not apply.*mode baseline"):
            prepare(wish)
        return
    prepared = prepare(wish)
    result = generate(prepared, plans_for(prepared, CPU), CPU)
    with VideoReader(result.path) as reader:
        assert reader.info.rate == spec.defaults.fps
        assert len(list(reader)) == kit.frames
        assert (reader.info.width, reader.info.height) == (
            spec.delivered.width,
            spec.delivered.height,
        )
    manifest = read_manifest(result.manifest)
    assert manifest.plan.session.family == kit.family
    assert manifest.plan.digest() == manifest.plan_sha256 == result.plan.digest()
    replay = prepare_replay(result.manifest, str(folder), tmp_path / "again.mp4")
    again = generate(replay.prepared, (replay.manifest.plan,), CPU)
    assert again.frame_sha256 == result.frame_sha256


def test_what_only_our_loop_does_is_refused_by_name(family, folder, photograph, kit):
    if "optimized" in family.modes:
        pytest.skip(f"{family.title} has a loop of ours")
    for asked, sentence in (
        ({"mode": "optimized", "cache": "pyramid"}, "mode optimized does not apply"),
        ({"cache": "pyramid"}, "--cache does not apply to mode baseline"),
        ({"compile": True}, "--compile does not apply to mode baseline"),
        ({"lora": ("a.safetensors",)}, f"--lora does not apply to tiny: .*{family.title}"),
    ):
        wish = {"input_image": photograph, "prompt": kit.prompt, "model": str(folder)}
        with pytest.raises(BadInputError, match=sentence):
            prepare(Request(**wish | {"mode": "baseline"} | asked))
    with pytest.raises(BadInputError, match="has no loop of ours; it runs with --mode baseline"):
        _ = family.loop


def test_batch_and_worker_make_the_clip_of_the_command(family, folder, photograph, kit, tmp_path):
    if "optimized" in family.modes:
        pytest.skip("tests/engine/batching and test_job_runner.py do this with a loop of ours")
    job = {"model": str(folder), "mode": "baseline", "seed": 5, "score": False,
           "num_inference_steps": 2} | ({"prompt": kit.prompt} if kit.prompt else {})  # fmt: skip
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([job | {"id": "clip", "input_image": str(photograph)}]))
    planned = plan_batch(read_batch(path, {}), tmp_path / "out", CPU)
    (outcome,) = run_batch(planned, CPU, False, lambda _: None)
    result = worked(job, photograph, tmp_path / "worked.mp4")
    assert (outcome.state, result["frames"]) == ("completed", kit.frames)
    assert outcome.result.frame_sha256 == result["frame_sha256"]


def worked(asked, photograph, path):
    """What the worker's runner says of such a job."""
    data, files = photograph.read_bytes(), MemoryStore()
    digest = hashlib.sha256(data).hexdigest()
    keep(files, stored_key(f"{digest}.png"), data, digest)
    job = Job(
        "a" * 21, "generate", "a", State.PROCESSING,
        asked | {"input_image": stored_address(f"{digest}.png")}, "", 0, 1.0, 1.0, None, 1,
        *[None] * (len(fields(Job)) - 11),
    )  # fmt: skip
    watch = RunContext(ignore, CancelToken(), lambda data: None)
    return EngineRunner(files, "cpu").make(job, path, watch)


def test_memory_is_counted_part_by_part_and_the_planner_reckons_with_it(
    family, spec, folder, photograph, kit
):
    wish = Request(
        input_image=photograph, prompt=kit.prompt, model=str(folder), mode=family.modes[0]
    )
    memory = sized(prepare(wish), card(8)).spec.memory
    pipe = read_pipeline(folder, DTYPES["bfloat16"])
    assert set(memory.weights) == {part.name for part in parts_in(family, folder)}
    for part in parts_in(family, folder):
        module = getattr(pipe, part.name)
        assert memory.weights[part.name] == sum(
            t.nbytes for t in (*module.parameters(), *module.buffers())
        )
        assert (part.name in memory.streams) == (bool(part.blocks) and memory.whole)
    prepared = sized(prepare(wish), card(8))  # remembered
    assert prepared.spec.memory == memory
    plan = plans_for(prepared, card(8))[0]
    ours = "optimized" in family.modes
    counted = (memory.denoise, memory.decode, memory.decode_stock)
    assert all(value > 0 for value in counted) and memory.whole
    assert not ours or (memory.decode_tiled > 0 and memory.layers > 0)
    assert plan.memory_estimate > sum(memory.weights.values())
    assert ours or plan.session.offload == "none"  # all of a tiny one fits a card of 8 GB


def test_a_scheduler_that_the_family_has_not_is_refused(ours, family, folder, photograph):
    foreign = next((name for name in ("dpm", "ddim") if name not in family.schedulers), None)
    if foreign is None:
        pytest.skip("it has both that a request can name")
    wish = Request(input_image=photograph, prompt="x", model=str(folder), scheduler=foreign)
    with pytest.raises(BadInputError, match=f"has no scheduler {foreign}"):
        prepare(wish)


def test_the_objective_is_nothing_where_the_prediction_is_right(family, spec, folder):
    if family.training is None:
        with pytest.raises(BadInputError, match="no adapter can be trained"):
            training_of(spec)
        return
    objective = family.training.objective(folder)
    clean, noise = torch.randn(2, 4, 4, 6, 8), torch.randn(2, 4, 4, 6, 8)
    timesteps = torch.tensor(
        [objective.timestep(torch.Generator().manual_seed(k), 0.0) for k in (1, 2)]
    )
    batch = NoisedBatch(clean, noise, timesteps)
    assert objective.noised(batch).shape == clean.shape
    worse = objective.errors(clean + 1, batch)
    assert worse.shape == (2,)
    assert (worse > 0).all()
    assert (
        family.training.token_count(family.training.shapes(folder), Clip(spec), spec)
        > spec.max_sequence_length
    )


class Clip:
    """A clip of the model's own size."""

    def __init__(self, spec):
        self.num_frames, self.width, self.height = (
            spec.defaults.num_frames,
            spec.native.width,
            spec.native.height,
        )


def test_the_example_of_the_architecture_page_runs(photograph, tmp_path):
    """The code block of section 7, as it stands there."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    (code,) = [
        block
        for block in re.findall(r"```python\n(.+?)```", page, re.DOTALL)
        if "FAMILIES" in block
    ]
    names = {
        "FAMILIES": families.FAMILIES,
        "Fake": Fake,
        "build_fake": build_fake,
        "Request": Request,
        "prepare": prepare,
        "generate": generate,
        "plans_for": plans_for,
        "tmp_path": tmp_path,
        "photograph": photograph,
        "hardware": CPU,
    }
    exec(compile(code, "docs/architecture.md", "exec"), names)
    assert read_manifest(names["result"].manifest).plan.session.family == "fake"
    assert names["result"].path.is_file()
