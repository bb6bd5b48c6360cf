"""The command: what a dry run says, and what is refused before anything is looked at."""

import json

import yaml
from typer.testing import CliRunner

from src.cli.distill import distill_app
from src.core.config import read_yaml
from src.core.paths import CONFIGS
from src.recipes.distill.settings import DistillSettings
from src.recipes.lora.settings import load_settings
from tests.training.lora_kit import SETTINGS


def call(tmp_path, clip_set, model, *arguments):
    values = SETTINGS.model_dump(mode="json", exclude_unset=True) | {"model": str(model)}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    given = ["--config", tmp_path / "c.yaml", "--metadata", clip_set]
    given += ["--output-dir", tmp_path / "few", *arguments]
    return CliRunner().invoke(distill_app(), [str(part) for part in given])


def test_a_dry_run_counts_the_teacher_too(tmp_path, clip_set, tiny_folder):
    result = call(tmp_path, clip_set, tiny_folder, "--stage", "guidance", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["steps"] == 4
    assert report["predicted"]["seconds_per_step"] > 0
    assert not (tmp_path / "few").exists()


def test_a_stage_is_needed(tmp_path, clip_set, tiny_folder):
    for given in ((), ("--stage", "guide")):
        result = call(tmp_path, clip_set, tiny_folder, *given)
        assert result.exit_code == 2
        assert "give --stage guidance or --stage steps; guidance comes first" in result.output


def test_steps_need_a_teacher(tmp_path, clip_set, tiny_folder):
    result = call(tmp_path, clip_set, tiny_folder, "--stage", "steps")
    assert result.exit_code == 2
    assert "make one with --stage guidance" in result.output


def test_the_default_configuration_is_read():
    path = CONFIGS / "training" / "distill_default.yaml"
    settings = load_settings(path, {"stage": "steps"}, DistillSettings)
    assert (settings.student_steps, settings.teacher_forwards) == (4, 4)
    assert settings.rank == read_yaml(path)["rank"]
