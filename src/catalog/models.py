"""The models Newsreel knows: an explicit list, each a file in `configs/models/`, or any diffusers folder."""

from pathlib import Path
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, Schedule
from src.core.config import load
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CONFIGS, is_file, is_folder, portable
from src.core.plan import Size
from src.core.text import read_json

MODELS = ("nano", "cogvideox-5b-i2v", "cogvideox1.5-5b-i2v")
PIPELINES = {"CogVideoXImageToVideoPipeline"}


def load_models() -> dict[str, ModelSpec]:
    """Every known model by id, in the order of `MODELS`. A file whose id differs from its name raises."""
    specs = {name: load(CONFIGS / "models" / f"{name}.yaml", ModelSpec) for name in MODELS}
    for name, spec in specs.items():
        if spec.id != name:
            raise BadInputError(f"configs/models/{name}.yaml says id {spec.id!r}; it must be {name!r}")
    return specs


def find_model(name: str) -> ModelSpec:
    """The spec of a model id, or of a diffusers folder, which may be a known model's; raises BadInputError."""
    specs = load_models()
    if name in specs:
        return specs[name]
    if is_folder(Path(name)):
        own = [spec for spec in specs.values() if portable(Path(name)) == spec.repository]
        return own[0] if own else spec_of_folder(Path(name))
    if is_file(Path(name)) or Path(name).suffix in SINGLE_FILES:
        raise BadInputError(_single_file(name))
    for spec in specs.values():
        if name in (spec.hub, *spec.former):
            raise BadInputError(f"--model {name} is the hub's name; Newsreel's is {spec.id}")
    if "/" in name or name.startswith("."):
        raise MissingFileError(f"model folder {name} does not exist")
    known = ", ".join(specs)
    raise BadInputError(f"unknown model {name!r}; known: auto, {known}, or the path of a diffusers folder")


SINGLE_FILES = (".gguf", ".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def _single_file(name: str) -> str:
    """What to do with a single file of weights, as one sentence."""
    if name.endswith(".gguf"):
        better = "GGUF files hold a quantised transformer alone; for less memory take --profile compact"
    else:
        better = "it holds one part alone; an adapter goes with --lora"
    return f"--model {name} is a single file, and Newsreel takes a diffusers folder (model_index.json): {better}"


def spec_of_folder(folder: Path) -> ModelSpec:
    """Read sizes and rules from a diffusers folder's own configuration files."""
    index = _read(folder / "model_index.json")
    if str(index.get("_class_name")) not in PIPELINES:
        raise BadInputError(
            f"{folder} holds a {index.get('_class_name')}; Newsreel runs {', '.join(sorted(PIPELINES))}"
        )
    transformer = _read(folder / "transformer" / "config.json")
    scheduler = _read(folder / "scheduler" / "scheduler_config.json")
    try:
        return _describe(folder, transformer, _read(folder / "vae" / "config.json"), scheduler)
    except KeyError as error:
        raise BadInputError(f"{folder}: its configuration files do not say {error}, which Newsreel needs") from None
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{folder}: its configuration files are not a CogVideoX model's: {reason}") from None


def _describe(folder: Path, transformer: dict[str, Any], vae: dict[str, Any], scheduler: dict[str, Any]) -> ModelSpec:
    step = 2 ** (len(vae["block_out_channels"]) - 1)
    learned = transformer.get("use_learned_positional_embeddings", False)
    frames = transformer.get("sample_frames", 49)
    native = _native(transformer, step)
    newer = is_1_5(transformer)
    return ModelSpec(
        id=folder.resolve().name,
        description=f"diffusers folder {folder.name}",
        folder=str(folder.resolve()),
        native=native,
        delivered=native if native.width * 2 != native.height * 3 else Size(width=720, height=480),
        size_multiple=step * transformer.get("patch_size", 2),
        max_sequence_length=transformer.get("max_text_seq_length", 226),
        frames=_frame_rule(frames, learned, newer),
        defaults=Defaults(num_frames=frames, fps=16.0 if newer else 8.0),
        schedule=Schedule(
            spacing=scheduler.get("timestep_spacing", "leading"),
            train_timesteps=scheduler.get("num_train_timesteps", 1000),
            offset=scheduler.get("steps_offset", 0),
        ),
        licence="see the folder's own card",
    )


def is_1_5(transformer: dict[str, Any]) -> bool:
    """Whether it is an image-to-video transformer of CogVideoX 1.5: none other embeds an offset (`ofs`)."""
    return transformer.get("ofs_embed_dim") is not None


SIZE_OF_1_5 = Size(width=1360, height=768)
LARGEST_1_5 = 300
"""Latent cells a side that 1.5's rotary tables cover: what its configuration says in the place of its size."""


def _native(transformer: dict[str, Any], step: int) -> Size:
    width, height = transformer["sample_width"], transformer["sample_height"]
    if is_1_5(transformer) and min(width, height) >= LARGEST_1_5:
        return SIZE_OF_1_5
    return Size(width=width * step, height=height * step)


def _frame_rule(frames: int, learned: bool, newer: bool) -> FrameRule:
    """1.0 makes the one count that its positions were trained on; 1.5 makes 16k + 1, up to ten seconds."""
    if learned:
        return FrameRule(only=frames)
    return FrameRule(step=16, most=max(161, frames)) if newer else FrameRule(most=frames)


def _read(path: Path) -> dict[str, Any]:
    if not is_file(path):
        raise MissingFileError(f"{path} is missing; a diffusers folder has model_index.json and its parts")
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data
