"""Which base an adapter is trained on."""

from src.catalog.models import find_model
from src.catalog.spec import ModelSpec
from src.pipelines.locate import find

LARGE = "cogvideox-5b-i2v"


def choose(name: str) -> ModelSpec:
    """The model called `name`; "auto" is the 5B where CUDA and its weights are here, else the embedded one."""
    if name != "auto":
        return find_model(name)
    import torch

    large = find_model(LARGE)
    return large if torch.cuda.is_available() and find(large) is not None else find_model("nano")
