"""Real launches: two processes learn what one learns,
and SIGTERM to the launcher saves the state.
"""

import csv
import os
import signal
import subprocess
import sys

import pytest
import yaml

from src.core.paths import REPOSITORY
from src.recipes.lora.settings import LoraSettings
from src.training.checkpoints import CheckpointManager
from tests.training.lora_kit import SETTINGS, run, weights
from tests.waiting import wait_until
from tests.warm_start import COLD

STOPPED = 130


def write_config(folder, model, **changes):
    values = SETTINGS.model_dump(mode="json", exclude_unset=True) | {"model": str(model)} | changes
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    assert LoraSettings(**values)
    return path


def launch(processes, *arguments, home, script="src/train_lora.py", **variables):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    environment |= {
        "NEWSREEL_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    # torchrun; ACCELERATE_USE_CPU makes the processes CPU ones
    several = ["--multi_gpu"] if processes > 1 else []
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes",
               str(processes), "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend",
               "no", script, *map(str, arguments)]  # fmt: skip
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    )


def finished(process, seconds=280):
    _, errors = process.communicate(timeout=seconds)
    return process.returncode, errors


def losses(home, run):
    return [
        float(row["loss"])
        for row in csv.DictReader((home / "metrics.csv").open())
        if row["run"] == run and row["loss"]
    ]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(clip_set, tiny_folder, tmp_path, home):
    changes = {"batch_size": 4, "epochs": 4}
    run(clip_set, tiny_folder, tmp_path / "p1", **changes)
    told = ("--config", write_config(tmp_path, tiny_folder, **changes))
    output = ("--output-dir", tmp_path / "p2")
    code, errors = finished(launch(2, "--metadata", clip_set, *told, *output, home=home))
    assert code == 0, errors
    one, two = losses(home, "p1"), losses(home, "p2")
    assert len(one) == len(two) == 4
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-4
    first, second = (
        weights(tmp_path / "p1" / "adapter_final"),
        weights(tmp_path / "p2" / "adapter_final"),
    )
    assert max(float((first[key] - second[key]).abs().max()) for key in first) < 1e-4
    state = CheckpointManager(tmp_path / "p2" / "state").latest()
    assert len(state["random"]) == 2


@pytest.mark.slow
def test_a_launcher_that_is_terminated_leaves_a_saved_state(clip_set, tiny_folder, tmp_path, home):
    config = write_config(tmp_path, tiny_folder, epochs=100000, save_minutes=60)
    output = tmp_path / "press"
    told = ("--metadata", clip_set, "--config", config, "--output-dir", output)
    process = launch(1, *told, home=home, **{COLD: "1"})  # a child of its own, which asks for it
    wait_until(lambda: (home / "metrics.csv").is_file() and len(losses(home, "press")) > 3, 240)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    wait_until(lambda: CheckpointManager(output / "state").steps(), 240)
    step = CheckpointManager(output / "state").steps()[-1]
    assert step >= 4
    changes = {"epochs": 100000, "save_minutes": 60, "steps": step + 2}
    run(clip_set, tiny_folder, output, resume="latest", **changes)
    assert CheckpointManager(output / "state").steps()[-1] == step + 2
