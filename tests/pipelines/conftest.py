import numpy as np
import pytest

from src.core.plan import Plan, SessionKey, Size
from src.pipelines.cogvideox.schedulers import timesteps
from tests.streams_kit import streams  # noqa: F401

SIZE = Size(width=48, height=32)
"""Half the pixels of the tiny model's own, which are most of what a clip takes; wide enough to be
cut into tiles."""


@pytest.fixture(scope="session")
def make_plan():
    """A plan for the tiny model; keyword arguments replace fields."""

    def make(steps: int = 3, scale: float = 4.0, **fields) -> Plan:
        session = {
            "model": "tiny",
            "source": "folder:tiny",
            "device": "cpu",
            "dtype": "float32",
            "offload": "none",
        }
        return Plan(
            **{
                "mode": "optimized", "profile": "exact",
                "session": SessionKey(**session, vae="stock"), "weights": {}, "image_sha256": "",
                "fit": "cover", "prompt": "pan left", "negative_prompt": "blurry",
                "max_sequence_length": 32, "scheduler": "dpm", "timesteps": timesteps(steps),
                "guidance": (scale,) * steps, "num_frames": 9, "fps": 8.0,
                "native": SIZE, "delivered": SIZE,
                "upscaler": "lanczos", "seed": 3, "score": False,
            } | fields
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """(32, 48, 3) uint8."""
    return np.random.default_rng(0).integers(0, 255, (SIZE.height, SIZE.width, 3), np.uint8)
