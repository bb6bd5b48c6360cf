"""A model by its name: one of those Newsreel knows, or any diffusers folder of a known family.
Imports no torch."""

from pathlib import Path

from src.catalog.models import load_models
from src.catalog.spec import FolderFacts, ModelSpec
from src.core.config import load_config
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import is_file, is_folder, portable
from src.pipelines.families import family_of_folder, read_config


def find_model(name: str) -> ModelSpec:
    """The spec of a model id, or of a diffusers folder, which may be a known model's; raises
    BadInputError."""
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
    raise BadInputError(
        f"unknown model {name!r}; known: auto, {known}, or the path of a diffusers folder"
    )


SINGLE_FILES = (".gguf", ".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def _single_file(name: str) -> str:
    """What to do with a single file of weights, as one sentence."""
    if name.endswith(".gguf"):
        better = (
            "GGUF files hold a quantised transformer alone; for less memory take --profile compact"
        )
    else:
        better = "it holds one part alone; an adapter goes with --lora"
    return (
        f"--model {name} is a single file, and Newsreel takes a diffusers folder "
        f"(model_index.json): {better}"
    )


def with_its_schedule(spec: ModelSpec, folder: Path) -> ModelSpec:
    """The spec with the schedule of the folder's own scheduler, and where its stock pipeline fails,
    where no revision is pinned that they could have been read from."""
    if spec.hub is None or spec.revision is not None:
        return spec
    found = spec_of_folder(folder)
    return spec.model_copy(update={"schedule": found.schedule, "stock_fails": found.stock_fails})


SAID = "newsreel.yaml"


def spec_of_folder(folder: Path) -> ModelSpec:
    """Read sizes and rules from a diffusers folder's own configuration files, and from what it
    says beside them."""
    family = family_of_folder(folder)
    try:
        described = family.describe(folder, read_config)
        said = folder / SAID
        return load_config(said, FolderFacts).of(described) if is_file(said) else described
    except KeyError as error:
        raise BadInputError(
            f"{folder}: its configuration files do not say {error}, which Newsreel needs"
        ) from None
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{folder}: its configuration files are not a {family.title} model's: {reason}"
        ) from None
