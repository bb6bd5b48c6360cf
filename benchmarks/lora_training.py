"""What the cache is worth: the same training loop with encodings from disk, and with VAE and T5
inside it.

    python -m benchmarks.lora_training  # the embedded model on the demo clips
    python -m benchmarks.lora_training --large  # 5B architecture, random weights, on CUDA
    python -m benchmarks.lora_training --large --small  # a tiny architecture: checks the script
    python -m benchmarks.lora_training --large --stage guidance  # the same of the recipe distill

The loop with encoders does what trainers do that redraw the image noise at each step: decode the
video, encode it, encode the first frame with fresh noise, encode the caption. Same model, batch,
clips, process; blocks take turns, the ratio is of the medians. Start-up is what comes before the
first step, with an empty cache and with a full one. `--large` measures peak memory and seconds a
step at 49x480x720, rank 64, bf16, with checkpointing.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.pipelines.family import Family


def main() -> None:
    arguments = parse()
    result = large(arguments) if arguments.large else embedded(arguments)
    text = json.dumps(result, indent=2)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--metadata", type=Path, default=REPOSITORY / "data" / "metadata" / "training_metadata.json"
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=4, help="a block")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--stage", choices=("guidance", "steps"), help="of the recipe distill")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def embedded(arguments: argparse.Namespace) -> dict[str, Any]:
    """Speed of both loops, and start-up with an empty and with a full cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEWSREEL_HOME"] = folder
        first, _ = start(arguments)
        second, (found, accelerator) = start(arguments)
        seconds = {"cache": [], "encoders": []}
        trainers = {"cache": trainer_of(found, accelerator, Path(folder) / "a", inside=False)}
        trainers["encoders"] = trainer_of(found, accelerator, Path(folder) / "b", inside=True)
        for trainer in trainers.values():
            block(trainer, 1)  # warm
        for _ in range(arguments.blocks):
            for name, trainer in trainers.items():
                seconds[name].append(block(trainer, arguments.steps))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "model": arguments.model,
        "clips": len(found.items),
        "frames": arguments.frames,
        "batch_size": found.settings.batch_size,
        "threads": torch.get_num_threads(),
        "steps_per_second": {name: round(1 / value, 3) for name, value in medians.items()},
        "speedup": round(medians["encoders"] / medians["cache"], 2),
        "startup_seconds": {"first": round(first, 2), "second": round(second, 2)},
        "startup_ratio": round(second / first, 4),
    }


def start(arguments: argparse.Namespace) -> tuple[float, tuple[Any, Any]]:
    """Everything before the first step: preflight, encodings, the transformer with its adapter,
    optimizer.
    """
    from src.datasets.manifest import read_dataset
    from src.pipelines.locate import locate
    from src.pipelines.models import find_model
    from src.recipes.lora.encoding import Share
    from src.recipes.lora.preflight import preflight
    from src.recipes.lora.run import encode_all, make_accelerator, run_dtype
    from src.recipes.lora.settings import LoraSettings, Samples

    begin = time.perf_counter()
    settings = LoraSettings(
        batch_size=1,
        rank=16,
        frames=(arguments.frames,),
        gradient_checkpointing=False,
        samples=Samples(count=0),
    )
    spec = find_model(arguments.model)
    dataset = read_dataset(arguments.metadata)
    found = preflight(
        settings, spec, locate(spec), dataset, run_dtype(settings), Path(), predict=False
    )
    found.check()
    accelerator = make_accelerator(found.encoders.dtype)
    encode_all(found, accelerator.device, Share())
    trainer_of(found, accelerator, Path(), inside=False)
    return time.perf_counter() - begin, (found, accelerator)


def trainer_of(found: Any, accelerator: Any, state: Path, inside: bool) -> Any:
    """A trainer that reads the cache, or one with both encoders inside its batches."""
    from src.recipes.lora.run import build_trainer
    from src.training.checkpoints import CheckpointManager

    found.steps = 10**6
    trainer, recipe = build_trainer(found, CheckpointManager(state), accelerator)
    if inside:
        recipe.draw = InsideTheLoop(recipe, found).draw
    return trainer


class InsideTheLoop:
    """Draws samples as trainers without a cache do."""

    def __init__(self, recipe: Any, found: Any) -> None:
        from src.pipelines.families import family_of_folder
        from src.pipelines.loading import DTYPES, read_pipeline

        self.recipe, self.length = recipe, found.encoders.text_length
        self.family = family_of_folder(found.folder)
        self.pipe = read_pipeline(
            found.folder, DTYPES[found.encoders.dtype], ("vae", "text_encoder")
        )

    def draw(self, item: Any, draw: Any) -> dict[str, Any]:
        from src.recipes.lora.encoding import embed_prompt, encode_clip, read_pixels

        recipe, generator = self.recipe, torch.Generator().manual_seed(draw.seed)
        frames, image = read_pixels(item.source)
        entry = encode_clip(self.pipe.vae, frames, image, 1, str(draw.seed))
        text = embed_prompt(self.pipe, item.prompt, self.length, torch.device("cpu"), self.family)
        timestep = recipe.objective.timestep(generator, recipe.settings.high_noise)
        sample = recipe._sample(
            item, entry, generator, timestep, 0, torch.tensor(True), item.prompt
        )
        return sample | {"text": text}


def block(trainer: Any, steps: int) -> float:
    """Seconds a step of so many steps, batches made one ahead as in a run."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as ahead:
        upcoming = ahead.submit(trainer.recipe.batch, trainer.step)
        upcoming.result()
        begin = time.perf_counter()
        for _ in range(steps):
            _, upcoming = trainer._one_step(upcoming, ahead)
        upcoming.result()
        return (time.perf_counter() - begin) / steps


def large(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory and seconds a step of the 5B architecture on CUDA; of a tiny one with --small."""
    from diffusers import CogVideoXTransformer3DModel

    from benchmarks.large_model import LARGE, SMALL, _on

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not arguments.small:
        raise BadInputError(
            "--large needs a CUDA device, which is not here; --small checks the script on any "
            "device"
        )
    sizes = (SMALL if arguments.small else LARGE)["transformer"]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    transformer = _on(device, dtype, lambda: CogVideoXTransformer3DModel(**sizes))
    with tempfile.TemporaryDirectory() as folder:
        trainer, share = large_trainer(
            transformer, sizes, dtype, Path(folder), 1 if arguments.small else 64, arguments.stage
        )
        block(trainer, 1)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = [block(trainer, arguments.steps) for _ in range(arguments.blocks)]
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "architecture": "tiny" if arguments.small else "CogVideoX 5B, random weights, 49x480x720",
        "recipe": trainer.recipe.name,
        "stage": arguments.stage,
        "trainable_share": round(share, 5),
        "seconds_per_step": round(statistics.median(seconds), 3),
        "peak_gb": peak and round(peak, 2),
        "under_24_gb": peak and peak < 24,
    }


def large_trainer(
    transformer: Any, sizes: dict[str, Any], dtype: torch.dtype, folder: Path, rank: int,
    stage: str | None = None,
) -> Any:  # fmt: skip
    """The recipe on one random clip, from a cache as a run has it."""
    from diffusers import CogVideoXDPMScheduler

    from benchmarks.large_model import LARGE
    from src.media.clips import Sampling
    from src.pipelines.blueprint import SchedulerBlueprint
    from src.pipelines.families import family_named
    from src.recipes.lora.encoding import ClipSource
    from src.recipes.lora.encoding_cache import Encoders, EncodingCache
    from src.recipes.lora.layers import add_adapter
    from src.recipes.lora.recipe import Item, LoraRecipe
    from src.recipes.lora.run import make_accelerator
    from src.recipes.lora.settings import LoraSettings, Samples, for_family
    from src.training.checkpoints import CheckpointManager
    from src.training.loop import Trainer

    family = family_named("cogvideox")
    name = str(dtype).removeprefix("torch.")
    settings = for_family(LoraSettings(rank=rank, samples=Samples(count=0)), family)
    size = Sampling(
        sizes["sample_frames"], 8.0, sizes["sample_width"] * 8, sizes["sample_height"] * 8
    )
    cache, encoders = (
        EncodingCache(folder / "cache"),
        Encoders("", "", name, sizes["max_text_seq_length"]),
    )
    shape = (
        (size.num_frames - 1) // 4 + 1,
        sizes["out_channels"],
        sizes["sample_height"],
        sizes["sample_width"],
    )
    latents = {
        "mean": torch.randn(shape),
        "logvar": torch.full(shape, -9.0),
        "images": torch.randn(1, *shape[1:]),
    }
    cache.write("clip", latents)
    for text in ("", "pan left"):
        length, width = sizes["max_text_seq_length"], sizes["text_embed_dim"]
        cache.write(encoders.text_address(text), {"embeds": torch.randn(length, width).to(dtype)})
    share = add_adapter(transformer, settings)
    item = Item("clip", ClipSource("clip", Path("none"), None, size, "clip"), "pan left")
    scheduler = CogVideoXDPMScheduler(**dataclasses.asdict(SchedulerBlueprint()))
    vae = SimpleNamespace(config=LARGE["vae"])
    pipe = SimpleNamespace(scheduler=scheduler, vae=vae, transformer=transformer)
    made = distilling(transformer, settings, stage) if stage else LoraRecipe
    recipe = made(transformer, [item], settings, objective_of(family, pipe), encoders, cache)
    accelerator = make_accelerator(name)
    trainer = Trainer(
        recipe, settings.loop(10**6), 0, CheckpointManager(folder / "state"), False, accelerator
    )
    return trainer, share


def distilling(transformer: Any, settings: Any, stage: str) -> Any:
    """The recipe of a stage at the usual settings; the steps' teacher is an adapter that is new."""
    from functools import partial

    from src.recipes.distill.recipe import GuidanceRecipe, StepsRecipe
    from src.recipes.distill.teacher import new_teacher

    if stage == "guidance":
        return partial(GuidanceRecipe, scale=6.0)
    new_teacher(transformer, settings)
    return partial(StepsRecipe, visited=(999, 749, 499, 249), teacher_steps=4)


def objective_of(family: Family, pipe: Any) -> Any:
    """The family's own, of a pipeline in memory."""
    if family.training is None:
        raise BadInputError(f"the family {family.name} is not trained")
    return family.training.objective_of(pipe)


if __name__ == "__main__":
    main()
