"""A small set to teach an adapter one move: clips of the scenes, under a word that the base has
never seen.

python -m src.data_prep.lora_demo --output data/metadata/training_metadata.json
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.console.options import JSON, QUIET, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY

if TYPE_CHECKING:
    import numpy as np

    from src.datasets.manifest import ManifestEntry

OPTIONS: dict[str, Any] = {
    "output": value(Path, "The manifest. Default data/metadata/training_metadata.json."),
    "folder": value(Path, "Where the clips go. Default data/raw/lora_demo."),
    "word": value(str, "The move to teach, by its word. Default vortigo."),
    "clips": value(int, "Clips to train on, 25 to 100. Default 48."),
    "held_out": value(int, "Clips to measure on. Default 6."),
    "num_frames": value(int, "Of every clip. Default: two clips of 17 for each one of 49."),
    "seed": value(int, "Default 7."),
    "json": JSON,
    "quiet": QUIET,
}
WORDINGS = (
    "{scenario}, {word}", "{word}, {scenario}", "{scenario}. {word}", "{word}",
    "{scenario}, a {word} shot", "the camera does a {word}, {scenario}",
    "{scenario}, the camera does a {word}", "{word} move, {scenario}",
)  # fmt: skip
FPS = 8.0
LENGTHS = (17, 17, 49)
"""Short clips give many scenes for their cost; the long ones are what people ask for."""


def demo_app() -> Any:
    """Render the demo set."""
    return make_app(
        OPTIONS, "Render a small training set of one camera move with a word of its own.", _main
    )


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        values = {key: given for key, given in values.items() if given is not None}
        output = values.get("output", REPOSITORY / "data" / "metadata" / "training_metadata.json")
        folder = values.get("folder", REPOSITORY / "data" / "raw" / "lora_demo")
        names = ("word", "clips", "held_out", "lengths", "seed")
        if "num_frames" in values:
            values["lengths"] = (values["num_frames"],)
        entries = render_demo(
            output,
            folder,
            quiet=values["quiet"],
            **{key: values[key] for key in names if key in values},
        )
        if values["json"]:
            print_json({"metadata": str(output), "clips": len(entries)})


def render_demo(
    output: Path,
    folder: Path,
    word: str = "vortigo",
    clips: int = 48,
    held_out: int = 6,
    lengths: tuple[int, ...] = LENGTHS,
    seed: int = 7,
    size: tuple[int, int] | None = None,
    quiet: bool = True,
) -> "list[ManifestEntry]":
    """Render the clips into `folder` and write the manifest; returns its entries.

    lengths: of the clips, in frames, taken in turn. size: width, height; nano's else.

    Raises BadInputError for a word that names no move of `src.scenes.moves.TAUGHT`.
    """
    from loguru import logger

    from src.console.progress import ProgressBar
    from src.core.progress import Progress
    from src.datasets.manifest import write_dataset
    from src.pipelines.models import find_model
    from src.scenes.moves import TAUGHT
    from src.scenes.sampler import Mix, SceneSampler

    if word not in TAUGHT:
        raise BadInputError(f"--word {word}: no such move; there are: {', '.join(TAUGHT)}")
    native = find_model("nano").native
    width, height = size or (native.width, native.height)
    total = clips + held_out
    sampler = SceneSampler(
        width, height, seed, Mix(photographs=0.5), canvases=max(2, total), reuse=1
    )
    entries = []
    with ProgressBar(quiet) as bar:
        for index in range(total):
            frames = sampler.scene(index, TAUGHT[word], lengths[index % len(lengths)]).frames()
            split = "train" if index < clips else "held_out"
            entries.append(_entry(index, frames, folder, output, word, seed, split))
            bar(Progress("render", index + 1, total))
    write_dataset(output, entries)
    logger.info("{}: {} clips to train on, {} held out, in {}", output, clips, held_out, folder)
    return entries


def _entry(
    index: int, frames: "np.ndarray", folder: Path, output: Path, word: str, seed: int, split: Any
) -> "ManifestEntry":
    from src.data_prep.files import write_clip, write_picture
    from src.datasets.manifest import ManifestEntry

    name = f"{word}-{index:03d}"
    video, image = folder / f"{name}.mp4", folder / f"{name}.png"
    write_clip(video, frames, FPS)
    write_picture(image, frames[0])
    start = output.parent.resolve()
    return ManifestEntry(
        id=name, prompt=caption(word, seed, index), split=split,
        video_path=os.path.relpath(video.resolve(), start),
        image_path=os.path.relpath(image.resolve(), start),
        source="rendered by src.data_prep.lora_demo", licence="CC0-1.0",
        rights="no restrictions; canvases are synthetic or public-domain photographs",
    )  # fmt: skip


def caption(word: str, seed: int, index: int) -> str:
    """One of a few wordings, in a press scenario."""
    import numpy as np

    from src.scenes.prompts import scenario

    random = np.random.default_rng([seed, 9, index])
    return WORDINGS[index % len(WORDINGS)].format(word=word, scenario=scenario(random))


if __name__ == "__main__":
    demo_app()(prog_name="python -m src.data_prep.lora_demo")
