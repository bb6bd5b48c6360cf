"""A few tiny clips, the TINY model, and short ways to train an adapter on them in a
second or two.
"""

from pathlib import Path

import torch

from src.data_prep.lora_demo import render_demo
from src.datasets.manifest import read_dataset
from src.pipelines.models import spec_of_folder
from src.recipes.lora.preflight import preflight
from src.recipes.lora.run import LoraRun, make_accelerator, train
from src.recipes.lora.settings import LoraSettings, Samples
from src.training.settings import Rate

SETTINGS = LoraSettings(
    seed=3, epochs=2, repeats=1, batch_size=2, rank=1,
    rate=Rate(peak=1e-2, warmup=2, shape="cosine"), frames=(9,), image_noises=2,
    gradient_checkpointing=False, precision="float32", held_out_timesteps=(300, 900),
    samples=Samples(count=0), threads=1,
)  # fmt: skip


def make_set(folder: Path, clips: int = 4, held_out: int = 2) -> Path:
    """A manifest of clips of nine frames at 64x48."""
    path = folder / "metadata.json"
    render_demo(
        path, folder / "clips", clips=clips, held_out=held_out, lengths=(9,), seed=1, size=(64, 48)
    )
    return path


def look(metadata: Path, model: Path, output: Path, processes: int = 1, **changes):
    settings = LoraSettings(**(SETTINGS.model_dump(exclude_unset=True) | changes))
    spec = spec_of_folder(model)
    dtype = {"bf16": "bfloat16"}.get(settings.precision, "float32")
    return preflight(
        settings, spec, model, read_dataset(metadata), dtype, output, processes, predict=False
    )


def run(
    metadata: Path, model: Path, output: Path, resume=None, tracker="none", store=None, **changes
) -> Path:
    torch.set_num_threads(1)
    found, asked = look(metadata, model, output, **changes), LoraRun(output, resume, tracker, store)
    return train(found, asked, make_accelerator(found.encoders.dtype))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "pytorch_lora_weights.safetensors")
