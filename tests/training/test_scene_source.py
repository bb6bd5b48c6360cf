"""Rendered scenes are the drawn ones, whichever processes helped."""

import cv2
import pytest
import torch

from src.recipes.scene_source import DrawnScenes, RenderedScenes
from src.scenes.painting import paint_canvas
from src.scenes.sampler import SceneSampler


@pytest.fixture(scope="module")
def rendered():
    source = RenderedScenes(sampler(), 49, 3, torch.device("cpu"), workers=2)
    yield source
    source.close()


def sampler():
    return SceneSampler(64, 48, 3, canvases=4, reuse=2)


@pytest.mark.parametrize("first", [0, 3, 30])
def test_rendered_scenes_are_the_drawn_ones(rendered, first):
    indices, at = range(first, first + 3), [0, 0, 0, 7, 48]
    videos, clips = rendered.draw(indices, at)
    drawn, thought = DrawnScenes(sampler(), 49).draw(indices, at)
    assert [clip.prompt for clip in clips] == [clip.prompt for clip in thought]
    assert [clip.scene.move for clip in clips] == [clip.scene.move for clip in thought]
    assert videos.shape == drawn.shape == (3, 3, 5, 48, 64)
    assert (videos - drawn).abs().mean() < 1 / 127.5
    assert torch.equal(videos[:, :, 0], videos[:, :, 2])


def test_canvases_that_the_window_has_passed_are_let_go(rendered):
    for first in range(0, 390, 39):
        rendered.draw(range(first, first + 2), [0])
    assert all(number >= 351 // 2 for number in (*rendered._painted, *rendered._painting))
    assert len(rendered._painted) <= 4 + 1
    # asked for five blocks before it can be needed
    assert max(rendered._painting) >= (352 + 5 * 3) // 2 + 3
    assert len(rendered._outlined) <= 24


def test_a_canvas_of_the_window_is_painted_once(monkeypatch):
    source = RenderedScenes(sampler(), 49, 12, torch.device("cpu"), workers=1)
    asked = []
    submit = source._workers.submit
    monkeypatch.setattr(
        source._workers,
        "submit",
        lambda what, *args: asked.append((what, args)) or submit(what, *args),
    )
    for first in range(0, 60, 12):
        source.draw(range(first, first + 12), [0])
    source.close()
    numbers = [args for what, args in asked if what is paint_canvas]
    assert len(numbers) == len(set(numbers)) > 60 // 2


def test_a_process_paints_with_one_thread_and_starts_without_torch(rendered):
    assert rendered._workers.submit(cv2.getNumThreads).result() == 1
    assert "torch" not in rendered._workers.submit(eval, "list(__import__('sys').modules)").result()
