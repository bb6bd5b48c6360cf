"""Tiny seeded networks in place of the shipped ones, and a clip to enlarge."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.catalog.upscalers import find_upscaler
from src.upscaling.backends import UpscalerChoice
from src.upscaling.network import VideoNetwork, build_network
from src.upscaling.presets import NetworkSpec


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks are no faster with more, and much slower beside other work."""
    torch.set_num_threads(1)


def tiny_network(scale: int = 2, seed: int = 0, **shape) -> VideoNetwork:
    """A network of every part, with weights that do something everywhere, alignment included."""
    torch.manual_seed(seed)
    usual = {"channels": 8, "blocks": 1, "trunk": 8, "taps": 3, "groups": 2, "bound": 2.0, "align": 4, "attention": 1,
             "heads": 2, "window": 4}  # fmt: skip
    network = build_network(NetworkSpec(scale=scale, **usual | shape)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.03 * torch.randn_like(parameter))
    return network


@pytest.fixture
def choice(weights) -> UpscalerChoice:
    return UpscalerChoice("fast", 2, "cpu", folder=weights)


@pytest.fixture(scope="session")
def clip(tmp_path_factory, ffmpeg) -> Path:
    """25 moving frames of 48x32 at 10 fps."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=2.5", "-pix_fmt", "yuv420p", path)
    return path


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """(9, 40, 56, 3) uint8: a textured picture that moves."""
    random = np.random.default_rng(3)
    picture = np.kron(random.integers(0, 256, (20, 28, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.stack([picture[t : t + 40, 2 * t : 2 * t + 56] for t in range(9)])


def use_gate(patch: pytest.MonkeyPatch, preset: str, **changes: float) -> None:
    """The gate of a preset with these changes."""
    spec = find_upscaler("newsreel")
    changed = spec.presets[preset].model_copy(
        update={"gate": spec.presets[preset].gate.model_copy(update=changes)}
    )
    other = spec.model_copy(update={"presets": spec.presets | {preset: changed}})
    patch.setattr("src.upscaling.backends.find_upscaler", lambda _: other)
