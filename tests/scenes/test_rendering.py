"""Clips rendered on a device are those that OpenCV draws, but for rounding."""

import numpy as np
import pytest
import torch

from src.scenes.rendering import render_scenes
from src.scenes.sampler import Mix, SceneSampler

CPU = torch.device("cpu")


def canvas_of(layer):
    return torch.from_numpy(np.ascontiguousarray(layer.canvas)).permute(2, 0, 1)


def drawn(scenes, at):
    frames = np.stack([scene.frames(at) for scene in scenes])
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float()


@pytest.mark.parametrize(
    "mix", [Mix(parallax=0, objects=0), Mix(parallax=1, objects=0, static=0), Mix(objects=1)],
    ids=["flat", "parallax", "objects"],
)  # fmt: skip
def test_rendered_is_drawn(mix):
    sampler, at = SceneSampler(96, 64, 5, mix, canvases=4, reuse=2), [0, 3, 20, 48]
    scenes = [sampler.clip(index, 49).scene for index in range(8)]
    made = (render_scenes(scenes, at, canvas_of, CPU) + 1) * 127.5
    assert made.shape == (8, 3, 4, 64, 96)
    error = (made - drawn(scenes, at)).abs()
    assert error.mean() < 0.5  # of 255: OpenCV's places are whole 32nds of a pixel
    assert torch.quantile(error.flatten()[::7], 0.999) < 8


def test_outside_its_canvas_a_picture_is_mirrored():
    """A pull out shows more than the canvas holds."""
    sampler = SceneSampler(96, 64, 5, Mix(parallax=0, objects=0), canvases=1, reuse=1)
    scene = sampler.clip(0, 49).scene
    small = type(scene.layers[0])(
        scene.layers[0].canvas[:80, :100].copy(), np.array([[1.0, 0, 4], [0, 1, 3]])
    )
    scene = type(scene)((small,), scene.move, 96, 64, 49)
    made = (render_scenes([scene], [0, 48], canvas_of, CPU) + 1) * 127.5
    assert (made - drawn([scene], [0, 48])).abs().mean() < 0.5
