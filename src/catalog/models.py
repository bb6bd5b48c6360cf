"""The models Newsreel knows: an explicit list, each a file in `configs/models/`."""

from src.catalog.spec import ModelSpec
from src.core.config import load_named
from src.core.paths import CONFIGS

MODELS = (
    "nano",
    "cogvideox-5b-i2v",
    "cogvideox1.5-5b-i2v",
    "wan2.2-ti2v-5b",
    "wan2.2-i2v-a14b",
    "wan2.1-i2v-14b-480p",
    "wan2.1-i2v-14b-720p",
    "ltx-video",
    "svd-xt",
    "hunyuan-video-i2v",
    "ltx-2",
)


def load_models() -> dict[str, ModelSpec]:
    """Every known model by id, in the order of `MODELS`. A file whose id differs from its name
    raises.
    """
    return load_named(CONFIGS / "models", MODELS, ModelSpec)
