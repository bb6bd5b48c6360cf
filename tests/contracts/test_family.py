"""What every family must do, so that the engine and the trainer need to know none of them.

One more family is one more parameter of `kit`.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.artifacts.memory import MemoryStore
from src.artifacts.store import keep
from src.core.addresses import stored_address, stored_key
from src.core.errors import BadInputError, CancelledError
from src.core.hardware import Hardware
from src.core.paths import REPOSITORY
from src.core.plan import Cache, Plan, SessionKey
from src.core.progress import CancelToken, Progress, ignore
from src.core.request import Request
from src.engine.batching.jobs_file import read_batch
from src.engine.batching.run import plan_batch, run_batch
from src.engine.costs import Stopwatch
from src.engine.generate import generate, plans_for, prepare, sized
from src.engine.manifest import read_manifest
from src.engine.replay import prepare_replay
from src.engine.session import Session, same_timesteps
from src.evaluation.memory import card
from src.jobs.model import Job, State
from src.media.reader import VideoReader
from src.pipelines import families
from src.pipelines.blueprint import TINY
from src.pipelines.building import build_pipeline
from src.pipelines.fake.family import Fake
from src.pipelines.fake.parts import build_fake
from src.pipelines.families import family_of, family_of_folder, parts_in
from src.pipelines.family import Family, parts_of
from src.pipelines.folder_memory import count_folder
from src.pipelines.loading import DTYPES, read_pipeline
from src.pipelines.locate import locate
from src.pipelines.models import find_model
from src.pipelines.pixels import to_uint8
from src.pipelines.preview_decoder import PreviewDecoder
from src.pipelines.roles import present, vae_of
from src.recipes.lora.layers import target_layers, training_of
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import read_taught
from src.worker.engine_runner import EngineRunner
from src.worker.runners import RunContext
from tests import other_families as tiny
from tests.hunyuan_family import build_hunyuan
from tests.ltx2_family import build_ltx2
from tests.newer_kit import build_newer

SCALE = 4.0
CPU = Hardware(device="cpu", name="a CPU", memory=16 << 30, free_memory=8 << 30, cpu_count=2)


@dataclass(frozen=True)
class Kit:
    """A tiny seeded model of a family, and what its rules say. wrong: a count, and the nearest that
    work."""

    build: Callable[[Path], Path]
    family: str
    frames: int
    wrong: tuple[int, str]
    longer: int | None = None
    prompt: str | None = "pan left"
    fewest: int = 1


KITS = {
    "CogVideoX 1.0": Kit(
        lambda folder: build_pipeline(
            replace(TINY, positions=True), ["pan left", "press"], folder, seed=0
        ),
        "cogvideox",
        9,
        (17, "9$"),
    ),
    "CogVideoX 1.5": Kit(
        lambda folder: build_newer(folder, 17), "cogvideox", 17, (25, "17 and 33$"), 33
    ),
    "fake": Kit(lambda folder: build_fake(folder, seed=0), "fake", 5, (7, "5 and 9$"), 9),
    "Wan 2.2 TI2V": Kit(tiny.build_wan_ti2v, "wan-ti2v", 9, (10, "9 and 13$"), 13),
    "Wan 2.2 A14B": Kit(tiny.build_wan_a14b, "wan", 9, (10, "9 and 13$"), 13),
    "Wan 2.1": Kit(tiny.build_wan_2_1, "wan", 9, (10, "9 and 13$"), 13),
    "LTX": Kit(tiny.build_ltx, "ltx", 9, (11, "9 and 17$"), 17, fewest=2),
    "LTX 0.9.1": Kit(
        lambda folder: tiny.build_ltx(folder, told=True),
        "ltx",
        9,
        (11, "9 and 17$"),
        17,
        fewest=2,
    ),
    "SVD": Kit(tiny.build_svd, "svd", 9, (10, "9$"), prompt=None),
    "HunyuanVideo": Kit(build_hunyuan, "hunyuan-video", 9, (10, "9 and 13$"), 13),
    "LTX-2": Kit(build_ltx2, "ltx2", 9, (11, "9 and 17$"), 17, fewest=2),
}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The fake in the registry, as one line in families.py would put it there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(families.FAMILIES, "fake", Fake())
        yield


@pytest.fixture(scope="module", params=KITS)
def kit(request) -> Kit:
    return KITS[request.param]


@pytest.fixture(scope="module")
def folder(kit, tmp_path_factory) -> Path:
    return kit.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def family(folder) -> Family:
    return family_of_folder(folder)


@pytest.fixture(scope="module")
def spec(folder):
    return find_model(str(folder))


@pytest.fixture(scope="module")
def picture(spec) -> np.ndarray:
    shape = (spec.native.height, spec.native.width, 3)
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


@pytest.fixture(scope="module")
def session(spec, folder) -> Session:
    key = SessionKey(
        model=spec.id,
        source=spec.source,
        device="cpu",
        dtype="float32",
        vae="stock",
        family=spec.family,
    )
    return Session(key, folder)


@pytest.fixture
def ours(family):
    """For what our loop does: a family without one has other tests."""
    if "optimized" not in family.modes:
        pytest.skip(f"{family.title} runs as diffusers has it")


@pytest.fixture
def plan_for(family, spec, session, kit):
    """A plan by the checkpoint's own scheduler; keyword arguments replace fields."""

    def make(steps: int = 3, scale: float = SCALE, **fields) -> Plan:
        visited = family.timesteps(steps, spec, True, fields.get("num_frames", kit.frames))
        usual = {
            "mode": "optimized",
            "profile": "plain",
            "session": session.key,
            "weights": {},
            "image_sha256": "",
            "fit": "cover",
            "prompt": "pan left",
            "negative_prompt": "blurry",
            "scheduler": "checkpoint",
            "max_sequence_length": min(32, spec.max_sequence_length),
            "timesteps": visited.timesteps,
            "sigmas": visited.sigmas,
            "guidance": (scale,) * steps,
            "num_frames": kit.frames,
            "fps": spec.defaults.fps,
            "native": spec.native,
            "delivered": spec.native,
            "upscaler": "lanczos",
            "seed": 3,
            "score": False,
            "cache": Cache(),
        }
        return Plan(**usual | fields)

    return make


def frames_of(session, plan, picture, listener=ignore, cancel=None, preview=None) -> np.ndarray:
    run = session.run(plan, picture, Stopwatch(), listener, cancel or CancelToken(), preview)
    return np.stack([frame for frame in run])


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


@pytest.mark.parametrize("count", [1, 3, 7, 28])
def test_the_plans_timesteps_are_those_that_the_scheduler_visits(
    family, spec, session, plan_for, count, kit
):
    if count < kit.fewest:
        with pytest.raises(BadInputError, match=f"cannot make {count} step; take {kit.fewest}"):
            family.timesteps(count, spec, stock=True)
        return
    stock = session.load() and session._checkpoint_scheduler
    for name in ("checkpoint", *family.schedulers):
        visited = family.timesteps(count, spec, stock=name == "checkpoint")
        plan = plan_for(count, scheduler=name, timesteps=visited.timesteps, sigmas=visited.sigmas)
        assert len(visited.timesteps) == count
        made = family.stock.make_scheduler(stock, plan, "cpu")
        assert same_timesteps(made.timesteps.tolist(), visited.timesteps)


@pytest.mark.parametrize("scale", [1.0, SCALE])
def test_the_loop_is_the_stock_pipelines_bit_for_bit(ours, session, plan_for, picture, scale, kit):
    plan = plan_for(scale=scale)
    made = frames_of(session, plan, picture)
    assert made.shape == (kit.frames, *picture.shape)
    assert made.std() > 0
    stock = session.run(
        plan.model_copy(update={"mode": "baseline"}), picture, Stopwatch(), ignore, CancelToken()
    )
    assert np.array_equal(made, np.stack(list(stock)))


def test_the_loop_is_the_stock_pipelines_at_another_length(ours, session, plan_for, picture, kit):
    if kit.longer is None:
        pytest.skip("this model makes clips of one length alone")
    plan = plan_for(2, num_frames=kit.longer)
    made = frames_of(session, plan, picture)
    assert len(made) == kit.longer
    stock = session.run(
        plan.model_copy(update={"mode": "baseline"}), picture, Stopwatch(), ignore, CancelToken()
    )
    assert np.array_equal(made, np.stack(list(stock)))


def test_seed_prompt_and_guidance_decide(ours, session, plan_for, picture):
    first = frames_of(session, plan_for(), picture)
    for changes in ({"seed": 4}, {"prompt": "push in"}, {"guidance": (1.0, SCALE, 1.0)}):
        assert not np.array_equal(first, frames_of(session, plan_for(**changes), picture)), changes


def test_progress_covers_every_step_and_the_preview_is_a_picture(
    ours, family, session, plan_for, picture
):
    reports, shown = [], []

    def preview(step, estimate):
        shown.append(family.loop.picture(session.load(), estimate))

    frames_of(
        session,
        plan_for(scheduler=family.schedulers[0], **own(family, session, 3)),
        picture,
        reports.append,
        preview=preview,
    )
    assert [r for r in reports if r.stage == "denoise"] == [
        Progress("denoise", n, 3) for n in (1, 2, 3)
    ]
    assert [r.done == r.total for r in reports if r.stage == "decode"][-1]
    assert [(one.shape, one.dtype) for one in shown] == [(picture.shape, np.uint8)] * 3


def own(family, session, steps):
    """Timesteps of the family's usual scheduler."""
    visited = family.timesteps(steps, find_model(str(session.folder)), stock=False)
    return {"timesteps": visited.timesteps, "sigmas": visited.sigmas}


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_cancel_stops_at_once_and_leaves_no_trace(ours, session, plan_for, picture, stage, kit):
    plan = plan_for(num_frames=kit.longer or kit.frames)
    untouched, cancel, after = frames_of(session, plan, picture), CancelToken(), []

    def listener(report):
        if cancel.cancelled:
            after.append(report)
        if report.stage == stage and (stage != "decode" or report.done < report.total):
            cancel.cancel()

    if stage == "decode" and kit.longer is None:
        pytest.skip("its one length is decoded in one piece")
    with pytest.raises(CancelledError):
        frames_of(session, plan, picture, listener, cancel)
    assert after == []
    assert np.array_equal(frames_of(session, plan, picture), untouched)


def test_a_clip_alone_by_a_plan_of_a_shared_forward_has_the_bits_of_the_one_in_company(
    ours, session, plan_for, picture
):
    plans = [
        plan_for(prompt=prompt, seed=8, prompts_per_forward=3)
        for prompt in ("pan left", "push in", "static")
    ]
    session.denoise_together(plans, [picture] * 3, ignore, CancelToken())
    in_company = [frames_of(session, plan, picture) for plan in plans]
    session.unload()
    for plan, made in zip(plans, in_company, strict=True):
        assert np.array_equal(made, frames_of(session, plan, picture))
    assert not np.array_equal(in_company[0], in_company[1])


def test_tiles_cover_the_picture(ours, session, plan_for, picture, kit):
    tiled = plan_for(session=session.key.model_copy(update={"tiling": True}))
    assert frames_of(session, tiled, picture).shape == (kit.frames, *picture.shape)


def test_a_preview_decoder_is_given_what_the_vae_decodes(
    ours, family, folder, spec, session, plan_for, picture, kit
):
    """The stock VAE makes the clip's own frames of it; and the recipe's decoder has as many."""
    plan = plan_for()
    session.denoise_together([plan], [picture], ignore, CancelToken())
    latents = session._ready[plan.digest()].latents
    given = family.loop.vae_latents(session.load(), latents)
    if kit.family == "fake":  # whose VAE takes single frames
        assert given is latents
        return
    vae: Any = vae_of(family, session.load())
    told = [given.new_tensor([0.05])] if vae.config.get("timestep_conditioning") else []
    with torch.no_grad():
        stock = to_uint8(vae.decode(given, *told).sample)
    assert np.array_equal(stock, frames_of(session, plan, picture))
    taught = read_taught(spec, folder, PreviewSettings(width=8), torch.device("cpu"))
    small = PreviewDecoder(taught.form)(given)
    assert small.shape == (1, 3, kit.frames, spec.draft.height, spec.draft.width)


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


def test_the_stock_pipeline_makes_what_was_planned_and_replays(session, plan_for, picture, kit):
    plan = plan_for(mode="baseline", num_frames=kit.longer or kit.frames)
    reports: list[Progress] = []
    made = frames_of(session, plan, picture, reports.append)
    assert made.shape == (plan.num_frames, *picture.shape)
    assert made.std() > 0
    assert reports == [Progress("denoise", n, 3) for n in (1, 2, 3)]
    assert np.array_equal(made, frames_of(session, plan, picture))
    assert not np.array_equal(made, frames_of(session, plan_for(mode="baseline", seed=4,
                              num_frames=plan.num_frames), picture))  # fmt: skip


def test_the_stock_pipeline_stops_within_a_step_and_leaves_no_trace(
    family, session, plan_for, picture
):
    plan, cancel, after = plan_for(mode="baseline"), CancelToken(), []
    untouched = frames_of(session, plan, picture)
    part, module = present(family, session.load(), "denoiser")[0]

    def stop(*_):
        if cancel.cancelled:
            after.append(1)
        cancel.cancel()

    handles = [block.register_forward_hook(stop) for block in part.blocks_of(module)]
    reports: list[Progress] = []
    with pytest.raises(CancelledError):
        frames_of(session, plan, picture, reports.append, cancel)
    for handle in handles:
        handle.remove()
    assert after == reports == []
    assert np.array_equal(frames_of(session, plan, picture), untouched)


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
    memory = count_folder(spec, folder)
    pipe = read_pipeline(folder, DTYPES["bfloat16"])
    assert set(memory.weights) == {part.name for part in parts_in(family, folder)}
    for part in parts_in(family, folder):
        module = getattr(pipe, part.name)
        assert memory.weights[part.name] == sum(
            t.nbytes for t in (*module.parameters(), *module.buffers())
        )
        assert (part.name in memory.streams) == (bool(part.blocks) and memory.whole)
    wish = Request(
        input_image=photograph, prompt=kit.prompt, model=str(folder), mode=family.modes[0]
    )
    prepared = sized(prepare(wish), card(8))
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
    assert objective.noised(clean, noise, timesteps).shape == clean.shape
    worse = objective.errors(clean + 1, clean, noise, timesteps)
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
