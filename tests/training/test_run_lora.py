"""An adapter run from clips to files: learns, resumes bit for bit, keeps the contract between
training and use.
"""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import BadInputError, DivergedError, MissingFileError, OutputError
from src.core.paths import home
from src.pipelines.adapter_files import read_adapter
from src.pipelines.cogvideox import objective
from src.pipelines.loading import read_pipeline
from src.pipelines.locate import base_hash
from src.pipelines.tensor_files import read_tensor_file
from src.recipes.lora import recipe as lora
from src.recipes.lora.files import adapter_state
from src.training.checkpoints import CheckpointManager
from src.training.loop import Trainer
from tests.training.lora_kit import look, run, weights

pytestmark = pytest.mark.usefixtures("encoded")


@pytest.fixture(scope="module")
def trained(clip_set, tiny_folder, encodings, tmp_path_factory):
    """A whole run with samples, in a home of its own: (output folder, home)."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("trained")
    patch.setenv("NEWSREEL_HOME", str(folder / "home"))
    shutil.copytree(encodings, folder / "home" / "cache")
    samples = {"count": 1, "every": 1, "num_inference_steps": 2, "guidance_scale": 3.0}
    run(clip_set, tiny_folder, folder / "press", samples=samples)
    patch.undo()
    return folder / "press", folder / "home"


def clip(pipe, prompt="a vortigo shot"):
    """Frames of the stock pipeline on one picture, (9, 48, 64, 3) float."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    return pipe(
        image=picture, prompt=prompt, num_frames=9, height=48, width=64, num_inference_steps=2,
        guidance_scale=3.0, generator=torch.Generator().manual_seed(5), output_type="np",
        max_sequence_length=32,
    ).frames[0]  # fmt: skip


def test_writes_adapters_samples_and_figures(trained):
    output, where = trained
    assert sorted(path.name for path in output.iterdir()) == [
        "adapter_epoch_1",
        "adapter_epoch_2",
        "adapter_final",
        "state",
    ]
    assert [path.name for path in sorted((where / "examples").iterdir())] == [
        "press-epoch-01-1.mp4",
        "press-epoch-02-1.mp4",
    ]
    rows = list(csv.DictReader((where / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [bool(row["held_out_loss"]) for row in rows] == [True, False, True, False, True]
    assert all(
        float(row["memory_bytes"]) > 0 and float(row["steps_per_second"]) > 0 for row in rows[1:]
    )


def test_the_header_says_what_it_is(trained, clip_set, tiny_folder):
    file = read_tensor_file(trained[0] / "adapter_final" / "pytorch_lora_weights.safetensors")
    metadata = file.metadata
    assert len(file.tensors) == 2 * 4 * 2
    assert metadata["newsreel_base_sha256"] == base_hash(tiny_folder)
    assert json.loads(metadata["lora_adapter_metadata"])["transformer.lora_alpha"] == 1.0
    assert "4 x CC0-1.0" in metadata["newsreel_rights"]
    assert {
        "newsreel_rank",
        "newsreel_targets",
        "newsreel_manifest_sha256",
        "newsreel_code",
        "newsreel_base",
    } <= set(metadata)
    assert read_adapter(str(trained[0] / "adapter_final"), tiny_folder)


def test_it_learns(clip_set, tiny_folder, tmp_path):
    run(clip_set, tiny_folder, tmp_path / "press", epochs=20, caption_dropout=0.0)
    rows = list(csv.DictReader((home() / "metrics.csv").open()))
    held_out = [float(row["held_out_loss"]) for row in rows if row["held_out_loss"]]
    assert held_out[-1] < 0.98 * held_out[0]


def test_a_second_run_encodes_nothing_and_learns_the_same(
    clip_set, tiny_folder, tmp_path, monkeypatch
):
    """Also with dropout, for which the process draws: what encoding drew before does not count."""
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "empty"))
    first = weights(run(clip_set, tiny_folder, tmp_path / "a", steps=1, dropout=0.2))

    def fail(*_):
        raise AssertionError("the VAE or the text encoder was loaded")

    monkeypatch.setattr("src.recipes.lora.encoding._load", fail)
    second = weights(run(clip_set, tiny_folder, tmp_path / "b", steps=1, dropout=0.2))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert any(value.abs().max() > 0 for key, value in first.items() if "lora_B" in key)


def test_resumed_equals_uninterrupted(clip_set, tiny_folder, tmp_path, monkeypatch):
    """With dropout, which draws from the process's own generator:
    8 steps = 4, stopped, and 4.
    """
    options = {"epochs": 4, "dropout": 0.2, "accumulation": 2}
    whole = run(clip_set, tiny_folder, tmp_path / "whole", **options)
    stop_after(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(clip_set, tiny_folder, tmp_path / "part", **options)
    monkeypatch.undo()
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "home"))
    torch.rand(7)  # whatever the process drew meanwhile
    again = run(clip_set, tiny_folder, tmp_path / "part", resume="latest", **options)
    expected, found = weights(whole), weights(again)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert any(value.abs().max() > 0 for key, value in expected.items() if "lora_B" in key)
    steps = [
        int(row["step"])
        for row in csv.DictReader((home() / "metrics.csv").open())
        if row["run"] == "part"
    ]
    assert steps == list(range(9))


def stop_after(step, monkeypatch):
    original = Trainer._one_step

    def one_step(self, *args):
        if self.step == step:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_one_step", one_step)


def test_resuming_another_run_is_refused(clip_set, tiny_folder, tmp_path):
    run(clip_set, tiny_folder, tmp_path / "press", steps=1)
    with pytest.raises(BadInputError, match="alpha 1, this run has 2"):
        run(clip_set, tiny_folder, tmp_path / "press", steps=2, resume="latest", alpha=2.0)
    with pytest.raises(MissingFileError, match="holds no checkpoint"):
        run(clip_set, tiny_folder, tmp_path / "none", steps=2, resume="latest")
    with pytest.raises(MissingFileError, match="holds no checkpoint"):
        run(clip_set, tiny_folder, tmp_path / "press", steps=2, resume=str(tmp_path))
    run(
        clip_set,
        tiny_folder,
        tmp_path / "press",
        steps=2,
        resume=str(tmp_path / "press" / "state" / "step-00000001"),
    )


def test_a_new_run_keeps_the_former_one(clip_set, tiny_folder, tmp_path):
    run(clip_set, tiny_folder, tmp_path / "press", steps=1)
    run(clip_set, tiny_folder, tmp_path / "press", steps=2)
    assert CheckpointManager(tmp_path / "press" / "state").steps() == [2]
    assert CheckpointManager(tmp_path / "press-previous" / "state").steps() == [1]


def test_rate_zero_and_zero_b_reproduce_the_base_bit_for_bit(clip_set, tiny_folder, tmp_path):
    base = clip(read_pipeline(tiny_folder, torch.float32))
    folder = run(clip_set, tiny_folder, tmp_path / "press", rate={"peak": 0.0, "warmup": 1})
    assert all(not value.any() for key, value in weights(folder).items() if "lora_B" in key)
    assert all(value.any() for key, value in weights(folder).items() if "lora_A" in key)
    pipe = read_pipeline(tiny_folder, torch.float32)
    pipe.load_lora_weights(folder)
    assert np.array_equal(clip(pipe), base)


PLAIN = """
import sys, numpy, torch
from diffusers import CogVideoXImageToVideoPipeline
from PIL import Image
pipe = CogVideoXImageToVideoPipeline.from_pretrained(sys.argv[1])
pipe.load_lora_weights(sys.argv[2])
picture = Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (48, 64, 3), numpy.uint8))
frames = pipe(image=picture, prompt="a vortigo shot", num_frames=9, height=48, width=64,
    num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator().manual_seed(5),
    output_type="np", max_sequence_length=32).frames[0]
numpy.save(sys.argv[3], frames)
"""


def test_a_plain_diffusers_script_in_a_fresh_process_gives_the_training_time_output(
    clip_set, tiny_folder, tmp_path, monkeypatch
):
    kept = {}
    original = lora.LoraRecipe.__init__

    def remember(self, transformer, *args, **kwargs):
        original(self, transformer, *args, **kwargs)
        kept["transformer"] = transformer

    monkeypatch.setattr(lora.LoraRecipe, "__init__", remember)
    folder = run(clip_set, tiny_folder, tmp_path / "press", epochs=8, rank=1, alpha=3.0)
    pipe = read_pipeline(tiny_folder, torch.float32)
    base = clip(pipe)
    pipe.transformer = kept["transformer"].eval()
    at_training = clip(pipe)
    assert np.abs(at_training - base).max() > 0.002
    assert {key: value.shape for key, value in adapter_state(pipe.transformer).items()} == {
        key: value.shape for key, value in weights(folder).items()
    }
    (tmp_path / "plain.py").write_text(PLAIN)
    command = [
        sys.executable,
        str(tmp_path / "plain.py"),
        str(tiny_folder),
        str(folder),
        str(tmp_path / "frames.npy"),
    ]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, env=clean_environment())
    assert np.abs(np.load(tmp_path / "frames.npy") - at_training).max() < 1e-5


def clean_environment():
    import os

    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1"
    }


def test_a_loss_that_is_no_number_stops_and_names_step_and_clip(
    clip_set, tiny_folder, tmp_path, monkeypatch
):
    original = objective.sample_losses
    calls = []

    def poisoned(*given):
        calls.append(1)
        losses = original(*given)
        return (
            losses * torch.tensor([1.0, float("nan")])
            if len(losses) == 2 and len(calls) > 4
            else losses
        )

    found = look(clip_set, tiny_folder, tmp_path / "press", epochs=4)
    monkeypatch.setattr(objective, "sample_losses", poisoned)
    with pytest.raises(DivergedError, match=r"not finite at step \d+ \(vortigo-00\d\)") as stopped:
        run(
            clip_set,
            tiny_folder,
            tmp_path / "press",
            epochs=4,
            save_minutes=1e-9,
            held_out_timesteps=(300,),
        )
    assert stopped.value.exit_code == 7
    assert found.steps > CheckpointManager(tmp_path / "press" / "state").steps()[-1] >= 1


def test_a_full_disk_keeps_the_last_good_checkpoint(clip_set, tiny_folder, tmp_path, monkeypatch):
    from src.training import checkpoints

    original = checkpoints.torch.save

    def save(state, path):
        if state["step"] == 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        original(state, path)

    monkeypatch.setattr(checkpoints.torch, "save", save)
    with pytest.raises(OutputError, match="free some disk space") as stopped:
        run(clip_set, tiny_folder, tmp_path / "press", epochs=4, save_minutes=1e-9)
    assert stopped.value.exit_code == 6
    assert CheckpointManager(tmp_path / "press" / "state").steps()[-1] == 2
    assert CheckpointManager(tmp_path / "press" / "state").latest()["step"] == 2


def test_half_precision_trains_too(clip_set, tiny_folder, tmp_path):
    folder = run(
        clip_set, tiny_folder, tmp_path / "press", precision="bf16", gradient_checkpointing=True
    )
    assert all(
        value.dtype == torch.float32 and value.isfinite().all()
        for value in weights(folder).values()
    )
    assert any(value.any() for key, value in weights(folder).items() if "lora_B" in key)


def test_accumulated_pieces_give_the_same_adapter(clip_set, tiny_folder, tmp_path):
    one = weights(run(clip_set, tiny_folder, tmp_path / "one", accumulation=1))
    two = weights(run(clip_set, tiny_folder, tmp_path / "two", accumulation=2))
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


def test_the_adapter_is_refused_on_another_base(trained, tmp_path):
    from src.pipelines.blueprint import TINY
    from src.pipelines.building import build_pipeline

    other = build_pipeline(TINY, ["pan left"], tmp_path / "other", seed=9)
    with pytest.raises(BadInputError, match="was trained on another base"):
        read_adapter(str(trained[0] / "adapter_final"), other)


def test_clips_of_two_shapes_train_in_two_buckets(clip_set, tiny_folder, tmp_path):
    from src.data_prep.lora_demo import render_demo
    from src.datasets.manifest import read_dataset, write_dataset

    render_demo(
        tmp_path / "tall.json",
        tmp_path / "tall",
        clips=2,
        held_out=0,
        lengths=(9,),
        seed=2,
        size=(48, 64),
    )
    entries = []
    for number, path in enumerate((clip_set, tmp_path / "tall.json")):
        dataset = read_dataset(path)
        for entry in dataset.entries:
            where = {
                "video_path": str(dataset.video(entry).resolve()),
                "image_path": str(dataset.image(entry).resolve()),
            }
            entries.append(entry.model_copy(update=where | {"id": f"{number}-{entry.id}"}))
    write_dataset(tmp_path / "both.json", entries)
    sizes = ((64, 48), (48, 64))
    found = look(tmp_path / "both.json", tiny_folder, tmp_path / "press", sizes=sizes)
    assert found.report()["buckets"] == {"9 frames at 64x48": 4, "9 frames at 48x64": 2}
    assert found.steps_per_epoch == 3
    folder = run(tmp_path / "both.json", tiny_folder, tmp_path / "press", sizes=sizes, epochs=1)
    assert any(value.any() for key, value in weights(folder).items() if "lora_B" in key)
