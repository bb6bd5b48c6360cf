"""The models Newsreel knows: an explicit list, each a file in `configs/models/`."""

from src.catalog.spec import ModelSpec
from src.core.config import load
from src.core.errors import BadInputError
from src.core.paths import CONFIGS

MODELS = ("nano", "cogvideox-5b-i2v", "cogvideox1.5-5b-i2v")


def load_models() -> dict[str, ModelSpec]:
    """Every known model by id, in the order of `MODELS`. A file whose id differs from its name raises."""
    specs = {name: load(CONFIGS / "models" / f"{name}.yaml", ModelSpec) for name in MODELS}
    for name, spec in specs.items():
        if spec.id != name:
            raise BadInputError(f"configs/models/{name}.yaml says id {spec.id!r}; it must be {name!r}")
    return specs
