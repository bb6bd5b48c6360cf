"""Distilled adapters: each stage learns from its teacher, and what it writes says what it is."""

import csv
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from src.core.errors import BadInputError
from src.core.paths import home
from src.datasets.manifest import read_dataset
from src.pipelines.adapter_files import read_adapter
from src.pipelines.flow_objective import FlowObjective
from src.pipelines.learning import NoisedBatch
from src.pipelines.locate import base_hash
from src.pipelines.models import spec_of_folder
from src.pipelines.tensor_files import read_tensor_file
from src.recipes.distill.recipe import CLEAN
from src.recipes.distill.run import Lesson, making, plan_lesson
from src.recipes.distill.settings import DistillSettings
from src.recipes.distill.teacher import TEACHER, taught_by
from src.recipes.lora.encoding import Share
from src.recipes.lora.layers import ADAPTER
from src.recipes.lora.preflight import Preflight, preflight
from src.recipes.lora.run import LoraRun, build_trainer, encode_all, make_accelerator, train
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer
from src.training.settings import Rate
from tests.training.lora_kit import SETTINGS
from tests.training.lora_kit import run as taught_by_clips
from tests.training.test_processes import finished, launch, losses

SCALE = 6.0
FILE = "pytorch_lora_weights.safetensors"


def settings(**changes) -> DistillSettings:
    own = {"epochs": 1, "repeats": 16, "rate": Rate(peak=4e-2, warmup=4, shape="cosine")}
    usual = SETTINGS.model_dump(exclude_unset=True) | own | {"held_out_timesteps": (300, 700)}
    if changes.get("stage") != "steps":
        usual["guidance_scale"] = SCALE
    return DistillSettings(**usual | changes)


def look(metadata, folder, output, teacher=None, **changes) -> tuple[Lesson, Preflight]:
    torch.set_num_threads(1)
    spec, wish = spec_of_folder(folder), settings(**changes)
    lesson = plan_lesson(wish, spec, folder, teacher)
    dataset = read_dataset(metadata)
    return lesson, preflight(
        lesson.settings, spec, folder, dataset, "float32", output, predict=False
    )


def distill(metadata, folder, output, teacher=None, **changes) -> tuple[Path, list[float]]:
    """The adapter's folder, and the held-out losses before and after."""
    lesson, found = look(metadata, folder, output, teacher, **changes)
    made = train(found, LoraRun(output), make_accelerator("float32"), making=making(lesson, found))
    with (home() / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == output.name]
    return made, [float(row["held_out_loss"]) for row in rows if row["held_out_loss"]]


@pytest.fixture(scope="module")
def place(encodings, tmp_path_factory):
    """A home for all tests here: each finds what was encoded."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("distilled")
    shutil.copytree(encodings, folder / "home" / "cache")
    patch.setenv("NEWSREEL_HOME", str(folder / "home"))
    yield folder
    patch.undo()


@pytest.fixture(autouse=True, name="home")
def shared_home(place, monkeypatch):
    """In place of a home of each test's own."""
    monkeypatch.setenv("NEWSREEL_HOME", str(place / "home"))


@pytest.fixture(scope="module")
def guidance(clip_set, tiny_folder, place):
    return distill(clip_set, tiny_folder, place / "guidance")


@pytest.fixture(scope="module")
def steps(clip_set, tiny_folder, place, guidance):
    own = {"stage": "steps", "student_steps": 2, "teacher_steps": 2, "repeats": 6}
    return distill(clip_set, tiny_folder, place / "steps", str(guidance[0]), **own)


def test_each_stage_comes_nearer_to_its_teacher(guidance, steps):
    """The first loss is that of the base, or of the guidance adapter, taken for the student."""
    assert guidance[1][-1] < 0.5 * guidance[1][0]
    assert steps[1][-1] < 0.97 * steps[1][0]


def trainer_of(lesson, found, folder) -> Trainer:
    encode_all(found, torch.device("cpu"), Share())
    made = making(lesson, found)
    return build_trainer(found, CheckpointManager(folder), make_accelerator("float32"), made)[0]


def test_one_forward_is_nearer_to_guidance_than_none_is(guidance, clip_set, tiny_folder, tmp_path):
    """On a training clip: the adapter's distance from the guided base over the unguided base's."""
    lesson, found = look(clip_set, tiny_folder, tmp_path)
    recipe = trainer_of(lesson, found, tmp_path).recipe
    clip = found.items[:1]
    [unguided] = recipe.held_out_losses(clip, torch.device("cpu"))
    weights = load_file(guidance[0] / FILE)
    for name, parameter in recipe.transformer.named_parameters():
        if f".{ADAPTER}." in name:
            parameter.data.copy_(weights[f"transformer.{name.replace(f'.{ADAPTER}', '')}"])
    [distilled] = recipe.held_out_losses(clip, torch.device("cpu"))
    assert (distilled / unguided) ** 0.5 < 0.75


def test_the_unguided_loss_is_what_guidance_adds(clip_set, tiny_folder, tmp_path):
    """A new adapter changes nothing, so its distance is (w - 1) (c - u): at three times w - 1,
    nine times the loss."""
    found = {
        scale: look(clip_set, tiny_folder, tmp_path, guidance_scale=scale) for scale in (2.0, 4.0)
    }
    losses = [
        trainer_of(*found[scale], tmp_path).recipe.held_out_losses(
            found[scale][1].items[:1], torch.device("cpu")
        )[0]
        for scale in (2.0, 4.0)
    ]
    assert losses[1] / losses[0] == pytest.approx(9, rel=1e-3)


def test_the_student_begins_as_its_teacher(guidance, clip_set, tiny_folder, tmp_path):
    changes = {"stage": "steps", "student_steps": 2, "teacher_steps": 2, "alpha": 2.0}
    lesson, found = look(clip_set, tiny_folder, tmp_path, str(guidance[0]), **changes)
    trainer = trainer_of(lesson, found, tmp_path)
    recipe, batch = trainer.recipe, trainer.recipe.batch(0)[0]
    trained = {name for name, _ in trainer._trained()}
    noised = NoisedBatch(batch["clean"], batch["noise"], batch["timestep"])
    noisy = recipe.objective.noised(noised)
    predict = [
        lambda: recipe.objective.predict(
            recipe.plain, recipe.transformer, batch, noisy, batch["timestep"]
        )
    ][0]
    with torch.no_grad():
        student = predict()
        with taught_by(recipe.transformer, TEACHER):
            teacher = predict()
        with taught_by(recipe.transformer, None):
            base = predict()
    assert torch.allclose(student, teacher, atol=1e-5)
    assert not torch.allclose(base, teacher, atol=1e-3)
    assert {name for name, _ in trainer._trained()} == trained
    assert all(f".{ADAPTER}." in name for name in trained)


def test_the_teachers_steps_end_where_the_students_does(guidance, clip_set, tiny_folder, tmp_path):
    changes = {"stage": "steps", "student_steps": 4, "teacher_steps": 3}
    lesson, found = look(clip_set, tiny_folder, tmp_path, str(guidance[0]), **changes)
    recipe = trainer_of(lesson, found, tmp_path).recipe
    begin = torch.tensor([999, 249])
    end = recipe.following(begin)
    assert end.tolist() == [749, CLEAN]
    marks = [(a.tolist(), b.tolist()) for a, b in recipe.between(begin, end)]
    assert marks == [
        ([999, 249], [916, 166]), ([916, 166], [832, 82]), ([832, 82], [749, -1]),
    ]  # fmt: skip
    drawn = {int(recipe.timestep(torch.Generator().manual_seed(k))) for k in range(40)}
    assert drawn == {999, 749, 499, 249}


def test_the_header_says_what_it_is(guidance, steps, tiny_folder):
    for made, stage, visited in ((guidance, "guidance", ()), (steps, "steps", (999, 499))):
        header = read_tensor_file(made[0] / FILE).metadata
        assert header["newsreel_distilled"] == stage
        assert header["newsreel_base_sha256"] == base_hash(tiny_folder)
        assert header["newsreel_schedule"] == "v_prediction, 1000 timesteps"
        found = read_adapter(str(made[0]), tiny_folder).reference.distilled
        assert (found.stage, found.guidance_scale) == (stage, SCALE)
        assert found.timesteps == visited
    assert found.scheduler == "ddim"
    taught = read_adapter(str(guidance[0]), tiny_folder).reference.sha256
    assert header["newsreel_teacher_sha256"] == taught


@pytest.mark.parametrize(
    ("changes", "teacher", "said"),
    [
        ({"guidance_scale": 1.0}, False, "nothing to distill"),
        ({"stage": "steps"}, False, "make one with --stage guidance"),
        ({}, True, "--teacher goes with --stage steps"),
        ({"stage": "steps", "student_steps": 6}, True, "does not divide .* 1000 timesteps; take 5"),
        ({"stage": "steps", "guidance_scale": 3.0}, True, "stands for 6; leave it out"),
    ],
)
def test_what_cannot_be_is_refused(changes, teacher, said, guidance, clip_set, tiny_folder):
    with pytest.raises(BadInputError, match=said):
        given = str(guidance[0]) if teacher else None
        look(clip_set, tiny_folder, home() / "out", given, **changes)


def test_a_family_that_matches_flows_is_refused(clip_set, tiny_folder, monkeypatch):
    zeros = torch.zeros(4)
    flow = FlowObjective(zeros, zeros + 1, 1.0, lambda part, _: part)
    monkeypatch.setattr(
        "src.recipes.distill.run.training_of", lambda _: SimpleNamespace(objective=lambda _: flow)
    )
    with pytest.raises(BadInputError, match="for which no adapter can be distilled"):
        look(clip_set, tiny_folder, home() / "out")


def test_a_steps_adapter_is_no_teacher(steps, clip_set, tiny_folder):
    with pytest.raises(BadInputError, match="is no guidance adapter"):
        look(clip_set, tiny_folder, home() / "out", str(steps[0]), stage="steps")


def test_another_rank_than_the_teachers_is_refused(guidance, clip_set, tiny_folder, tmp_path):
    changes = {"stage": "steps", "rank": 2}
    lesson, found = look(clip_set, tiny_folder, tmp_path, str(guidance[0]), **changes)
    with pytest.raises(BadInputError, match="has rank 1 .* the same rank and targets"):
        trainer_of(lesson, found, tmp_path)


def test_another_stage_does_not_resume_it(guidance, clip_set, tiny_folder, place):
    lesson, found = look(clip_set, tiny_folder, place / "guidance", guidance_scale=3.0)
    with pytest.raises(BadInputError, match=re.escape("newsreel_guidance_scale 6, this run has 3")):
        train(
            found, LoraRun(place / "guidance", "latest"), make_accelerator("float32"),
            making=making(lesson, found),
        )  # fmt: skip


def test_a_run_that_clips_taught_is_not_resumed_as_this(clip_set, tiny_folder, place):
    taught_by_clips(clip_set, tiny_folder, place / "press", steps=1)
    lesson, found = look(clip_set, tiny_folder, place / "press", batch_size=2, repeats=1)
    with pytest.raises(BadInputError, match="made with recipe lora, this run has distill"):
        train(
            found, LoraRun(place / "press", "latest"), make_accelerator("float32"),
            making=making(lesson, found),
        )  # fmt: skip


def test_memory_and_time_count_the_teacher(clip_set, tiny_folder, guidance, tmp_path):
    """One base whatever teaches; the steps' teacher is one more adapter in float32."""
    wish = {"stage": "steps", "teacher_steps": 3}
    taught = look(clip_set, tiny_folder, tmp_path, str(guidance[0]), **wish)[1]
    alone = look(clip_set, tiny_folder, tmp_path)[1]
    adapter = sum(value.numel() for value in load_file(guidance[0] / FILE).values())
    difference = taught.estimates.device_bytes - alone.estimates.device_bytes
    assert difference == 4 * adapter
    assert (alone.settings.teacher_forwards, taught.settings.teacher_forwards) == (2, 3)


@pytest.mark.soak
def test_two_processes_that_share_the_base_learn_what_one_learns(
    guidance, clip_set, tiny_folder, place
):
    """Each plays teacher and student on its part of the frozen weights."""
    own = {"stage": "steps", "student_steps": 2, "teacher_steps": 2, "steps": 3, "batch_size": 4}
    one = distill(clip_set, tiny_folder, place / "one", str(guidance[0]), **own)
    wish = settings(**own).model_dump(mode="json", exclude_unset=True)
    wish |= {"model": str(tiny_folder), "shard_base": True}
    (place / "two.yaml").write_text(yaml.safe_dump(wish))
    told = ("--stage", "steps", "--teacher", guidance[0], "--metadata", clip_set,
            "--config", place / "two.yaml", "--output-dir", place / "two")  # fmt: skip
    code, errors = finished(launch(2, *told, home=home(), script="src/distill.py"))
    assert code == 0, errors
    two = load_file(place / "two" / "adapter_final" / FILE)
    assert losses(home(), "two") == pytest.approx(losses(home(), "one"), abs=1e-4)
    for name, value in load_file(one[0] / FILE).items():
        assert torch.allclose(two[name], value, atol=1e-4)
