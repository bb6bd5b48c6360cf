"""The command: what a person sees of a dry run and of bad input, and how it starts by path."""

import json
import subprocess
import sys

import yaml
from typer.testing import CliRunner

from src.cli.train_lora import train_lora_app
from src.core.config import read_yaml
from src.core.paths import CONFIGS, REPOSITORY
from src.recipes.lora.settings import LoraSettings, for_model, load_settings
from tests.training.lora_kit import SETTINGS


def call(tmp_path, clip_set, model, *arguments, **changes):
    values = SETTINGS.model_dump(mode="json", exclude_unset=True) | {"model": str(model)} | changes
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    given = [
        "--config",
        tmp_path / "c.yaml",
        "--output-dir",
        tmp_path / "press",
        "--metadata",
        clip_set,
        *arguments,
    ]
    return CliRunner().invoke(train_lora_app(), [str(part) for part in given])


def test_a_dry_run_counts_and_predicts_and_writes_nothing(tmp_path, clip_set, tiny_folder):
    result = call(tmp_path, clip_set, tiny_folder, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["steps"] == 4
    assert report["predicted"]["seconds_per_step"] > 0
    assert report["predicted"]["device_bytes"] > 10**9
    assert not (tmp_path / "press").exists()
    assert "trainable share" in call(tmp_path, clip_set, tiny_folder, "--dry-run").stdout


def test_a_dry_run_refuses_what_training_would(tmp_path, clip_set, tiny_folder):
    dry = call(tmp_path, clip_set, tiny_folder, "--dry-run", "--rank", 40)
    wet = call(tmp_path, clip_set, tiny_folder, "--rank", 40)
    for result in (dry, wet):
        assert result.exit_code == 2
        assert "rank 40 is larger than the layers' dimension 32" in result.stderr
    assert not (tmp_path / "press").exists()


def test_bad_input_is_one_sentence_and_its_code(tmp_path, clip_set, tiny_folder):
    (tmp_path / "file").write_text("x")
    cases = [
        (["--metadata", tmp_path / "none.json"], {}, "does not exist"),
        (["--tracker", "comet"], {}, "--tracker comet"),
        (["--resume", "latest"], {}, "holds no checkpoint"),
        (["--output-dir", tmp_path / "file"], {}, "is a file; give a folder"),
        ([], {"epoch": 3}, "unknown key 'epoch'"),
        ([], {"batch_size": 3, "accumulation": 2}, "must be a multiple of accumulation"),
        (["--model", "unknown"], {}, "unknown model 'unknown'"),
    ]
    for arguments, changes, sentence in cases:
        result = call(tmp_path, clip_set, tiny_folder, *arguments, **changes)
        assert result.exit_code == 2, result.output
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr


def test_training_by_the_command(tmp_path, clip_set, tiny_folder):
    result = call(tmp_path, clip_set, tiny_folder, "--json", "--steps", "1")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["adapter"].endswith("adapter_final")


def test_the_script_starts_by_path_without_src_on_it():
    code = (
        "import runpy, sys; sys.argv = ['src/train_lora.py', '--help']\ntry: "
        "runpy.run_path('src/train_lora.py', run_name='__main__')\n"
    )
    code += (
        "except SystemExit as end: print(end.code, any(p.rstrip('/').endswith('/src') for p in "
        "sys.path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_the_shipped_settings():
    settings = load_settings(CONFIGS / "training" / "lora_default.yaml", {}, LoraSettings)
    assert set(read_yaml(CONFIGS / "training" / "lora_default.yaml")["models"]) == {"nano"}
    assert for_model(settings, "nano").rank <= 32
    assert for_model(settings, "cogvideox-5b-i2v").rank == 64
