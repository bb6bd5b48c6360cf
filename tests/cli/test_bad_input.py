"""Every door's bad inputs: one clear sentence, the right exit code, no traceback, nothing
half-written.
"""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from src.cli.inference import inference_app
from src.core.paths import REPOSITORY
from tests.command_kit import run_here
from tests.waiting import wait_until

SAMPLE = REPOSITORY / "data" / "samples" / "sample_image_1.png"


def run(door, *flags, **extra):
    command = [sys.executable, "-m", f"src.{door}", *map(str, flags)]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, env=os.environ | extra
    )


@pytest.fixture
def plain_machine(home, monkeypatch):
    """No GPU and an empty hub's cache, in the repository's folder."""
    import torch

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--input-image", "nope.png"], 2, "input image nope.png does not exist"),
        (["--input-image", "pyproject.toml"], 2, "is not a picture"),
        (["--input-image", "src"], 2, "is a folder"),
        (["--input-image", "/dev/zero"], 2, "input image /dev/zero is no plain file"),
        (["--model", ""], 2, "model: must not be empty"),
        (["--lora", ""], 2, "--lora '' names no adapter; give PATH or PATH=WEIGHT"),
        (["--lora", "=0.5"], 2, "--lora '=0.5' names no adapter"),
        (["--prompt", " "], 2, "must not be empty"),
        (["--num-frames", "13"], 2, "nearest that works: 9 and 17"),
        (["--model", "cogvideox-5b-i2v", "--num-frames", "13"], 2, "nearest that works: 49"),
        (["--model", "cogvideox-5b-i2v"], 3, "hf download zai-org/CogVideoX-5b-I2V"),
        (["--height", "481"], 2, "nearest: 480 and 482"),
        (["--width", "500", "--height", "480"], 2, "nearest: 500x334 and 720x480"),
        (["--num-inference-steps", "0"], 2, "greater than or equal to 1"),
        (["--num-inference-steps", "-1"], 2, "greater than or equal to 1"),
        (["--model", "nanoo"], 2, "unknown model 'nanoo'"),
        (["--template", "brief"], 2, "give --prompt or --template, not both"),
        (["--output-path", "/proc/no/clip.mp4"], 6, "cannot be written"),
        (["--output-path", "clip.avi"], 2, "must be a name that ends in .mp4"),
        (["--config", "nope.yaml"], 2, "config file nope.yaml does not exist"),
        (["--config", "src"], 2, "config file src is a folder, not a file"),
        (["--replay", "nope.json"], 2, "--input-image does not go with --replay"),
        (["--device", "cuda"], 2, "no CUDA device is visible"),
        (["--vram-budget", "0"], 2, "a number above 0 with GB"),
        (
            ["--profile", "fast"],
            2,
            "--profile fast needs CUDA capability 7.0; this machine runs on",
        ),
        (["--profile", "stream"], 2, "--profile stream needs a CUDA device; this machine runs on"),
        (
            ["--model", "cogvideo.gguf"],
            2,
            "is a single file, and Newsreel takes a diffusers folder",
        ),
        (["--attention", "sage"], 2, "--attention sage is a CUDA kernel; on a CPU there are flash"),
        (["--attention", "sagee"], 2, "'efficient', 'math', 'flash3' or 'sage'"),
        (["--quantize", "fp4"], 2, "'int8', 'fp8' or 'fp8_dynamic'"),
    ],
)
def test_one_sentence_and_the_right_code(home, plain_machine, flags, code, sentence):
    usual = [
        "--input-image",
        "data/samples/sample_image_1.png",
        "--prompt",
        "pan left",
        "--model",
        "nano",
    ]
    done = run_here(inference_app("optimized"), *usual, *flags)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not list(home.rglob("*.mp4"))


@pytest.mark.parametrize("flag", ["--input-image", "--output-path", "--config", "--replay"])
def test_a_path_that_is_empty_is_not_the_current_folder(flag):
    """As of a variable that is not set."""
    done = run_here(inference_app("optimized"), "--prompt", "x", flag, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{flag}': it is empty; name a file or a folder" in done.stderr


def test_a_folder_of_pickled_weights(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    done = run_here(
        inference_app("optimized"), "--input-image", SAMPLE, "--prompt", "x", "--model", folder
    )
    assert done.returncode == 2
    assert "safetensors only" in done.stderr


def test_compile_without_a_compiler(tiny_folder, tmp_path):
    """A path that has nothing on it: no compiler of any name."""
    done = run(
        "optimized_inference", "--input-image", "data/samples/sample_image_1.png", "--prompt", "x",
        "--model", tiny_folder, "--compile", "--device", "cpu", PATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "error: --compile needs a C++ compiler: apt-get install g++"
    )


def test_a_folder_with_a_shard_missing_or_cut_short(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "part")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    flags = ["--input-image", SAMPLE, "--prompt", "x", "--model", folder]
    done = run_here(inference_app("optimized"), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not whole: vae/diffusion_pytorch_model.safetensors is cut short" in done.stderr
    index = {"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "vae" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps(index)
    )
    weights.unlink()
    done = run_here(inference_app("optimized"), *flags)
    assert done.returncode == 2
    assert "vae has no weights" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_mode_gives_errors_as_one_object():
    done = run("optimized_inference", "--input-image", "nope.png", "--prompt", "x", "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == done.returncode == 2


def test_json_mode_gives_the_result_as_one_object(tiny_folder, photograph):
    done = run(
        "baseline_inference", "--input-image", photograph, "--prompt", "pan left", "--model",
        tiny_folder, "--json", "--num-inference-steps", "2", "--no-score",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["path"].endswith(".mp4")
    assert result["plan"]["mode"] == "baseline"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_file_and_exits_130(tiny_folder, photograph, home, stop):
    command = [
        sys.executable, "-m", "src.optimized_inference", "--input-image", str(photograph),
        "--prompt", "pan left", "--model", str(tiny_folder), "--num-inference-steps", "2",
        "--output-path", str(home / "c.mp4"),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(home.glob(".c.*.partial.mp4")), 60)
    process.send_signal(stop)  # seconds of loading, writing and scoring are to come
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not list(home.glob("*c*.mp4"))


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from src.cli.inference import inference_app\n"
        "try: inference_app('optimized')(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'av', 'numba'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.DEVNULL
        ).returncode
        == 0
    )
