"""What happens around a backend: memory that runs out, windows, files that are damaged."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from src.core.errors import BadInputError, OutOfMemoryError
from src.core.upscale_request import EnhanceSettings
from src.upscaling.backends import Measured, Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.feeding import HALVINGS, enlarged
from src.upscaling.registry import check_memory, detect
from src.upscaling.star.backend import GATHERED, gathered

FRAMES = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)


class Hungry(Measured):
    """Repeats pixels; its third frame fails until no more than `fits` bytes are planned with."""

    name, scale, window, sizes = "hungry", 2, Window(), Sizes()

    def __init__(self, fits, error=torch.cuda.OutOfMemoryError, budget=800):
        self.fits, self.error, self.budget, self.begun = fits, error, budget, 0

    def enlarge(self, piece, settings, run):
        self.begun += 1
        for place, frame in enumerate(piece.frames):
            if place == 2 and (self.budget or 800) > self.fits:
                raise self.error("out of memory" if self.error is not KeyError else "damaged")
            yield frame.repeat(2, 0).repeat(2, 1)[None] / np.float32(255)


def made_by(backend):
    return list(enlarged(backend, Stretch(FRAMES), EnhanceSettings(), UpscaleRun()))


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, MemoryError, RuntimeError])
def test_a_piece_is_begun_again_in_smaller_parts_and_no_frame_comes_twice(error):
    backend = Hungry(fits=300, error=error)
    expected = FRAMES.repeat(2, 1).repeat(2, 2) / np.float32(255)
    assert np.array_equal(np.stack(made_by(backend)), expected)
    assert (backend.begun, backend.measured()) == (3, [200])


@pytest.mark.parametrize(("budget", "begun"), [(800, HALVINGS + 1), (None, 1)])
def test_what_does_not_fit_at_last_is_one_sentence(budget, begun):
    backend = Hungry(fits=1, budget=budget)
    with pytest.raises(OutOfMemoryError, match="^hungry ran out of memory: .*another --upscaler$"):
        made_by(backend)
    assert backend.begun == begun


def test_another_failure_is_not_taken_for_lack_of_memory():
    backend = Hungry(fits=300, error=KeyError)
    with pytest.raises(KeyError, match="damaged"):
        made_by(backend)
    assert backend.begun == 1


@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 3, GATHERED + 1, 3 * GATHERED + 2])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 1), (1, 2), (2, 2)])
def test_a_stream_is_gathered_with_the_frames_around_it(reach, count, before, after):
    before, after = min(before, reach), min(after, reach)
    frames = [np.full((1, 1, 3), number) for number in range(before + count + after)]
    made = []
    for part, lead, trail in gathered(iter(frames), before, after, reach):
        numbers = part[:, 0, 0, 0].tolist()
        first, last = numbers[lead], numbers[len(numbers) - trail - 1]
        assert numbers[0] == max(0, first - reach)
        assert numbers[-1] == min(len(frames) - 1, last + reach)
        assert len(part) <= GATHERED + 3 * reach + 1
        made += numbers[lead : len(numbers) - trail]
    assert made == list(range(before, before + count))


def test_a_large_source_leaves_a_body_as_long_as_the_context():
    assert Window(overlap=8).body(10) == 16
    assert Window(overlap=8).body(60) == 44
    assert Window(most=33, overlap=4).body(3) == 8
    assert Window(most=33, overlap=4).body(90) == 25
    assert Window().body(0) == 1


def test_weights_that_no_memory_is_free_for_are_told_before_they_load(monkeypatch):
    choice = UpscalerChoice("fast", 2)
    check_memory(choice)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    with pytest.raises(OutOfMemoryError, match="the weights of newsreel take 0.0 GB in float32"):
        check_memory(choice)


def test_a_file_that_was_cut_short_is_told_as_that(tmp_path):
    (file,) = UpscalerChoice("fast", 2).files()
    short = tmp_path / "fast_2x.safetensors"
    short.write_bytes(file.path.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="fast_2x.safetensors is"):
        detect(short)
