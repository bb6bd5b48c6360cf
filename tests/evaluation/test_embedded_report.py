"""The table says what was measured, and where a bar is missed."""

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from src.core.errors import BadInputError, MissingFileError
from src.evaluation.embedded import read_photographs, settings_of
from src.evaluation.embedded_delivery import WAYS, Delivered, delivered
from src.evaluation.embedded_figures import (
    EmbeddedFigures,
    MoveFigures,
    Reconstruction,
    ideal_frame,
    psnr,
    sharpness_kept,
)
from src.evaluation.embedded_report import BLOCK, figure_rows, markdown
from src.evaluation.pages import write_block
from src.metrics.measured_move import MeasuredMove
from src.pipelines.models import find_model

OPEN = {"num_inference_steps": None, "guidance_scale": None, "num_frames": None, "dtype": None}
MOVE = MeasuredMove(right=1.0, down=0.0, growth=0.0, turn=0.0, mean_flow=0.05)
CLIP = MoveFigures(
    "cat",
    "pan left",
    "pan left",
    MOVE,
    first_frame=26.0,
    content=21.0,
    structure=0.8,
    sharp=0.7,
    uneven=0.1,
    score=0.9,
)
STILL = dataclasses.replace(CLIP, asked="static", measured="static", uneven=None)
PANS = {"at rest": 30.0, "slow": 31.0, "medium": 30.0, "fast": 31.0}
FIGURES = EmbeddedFigures(
    reconstruction={"cat": {pan: Reconstruction(value, 0.97) for pan, value in PANS.items()}},
    delivered={"cat": {way: Delivered(30.0, 0.9, 0.7, 4.0) for way in WAYS}},
    clips=[CLIP, STILL, dataclasses.replace(CLIP, asked="push in")],
    speeds=[{"photograph": "cat", "move": "pan left", "slow": 1.0, "medium": 2.0, "fast": 3.0}],
    guidance={"1": 1.0, "6": 2.0},
)


def test_bars():
    rows = {name: (value, reached) for name, _, value, reached in figure_rows(FIGURES)}
    assert rows["Measured move is the prompt's"] == ("67 %", False)
    assert rows['"static": mean flow at 720x480'] == ("0.15 px", True)
    assert rows["VAE, medium, PSNR, mean"] == ("30.0 dB", False)
    assert rows["VAE, fast, PSNR, mean"] == ("31.0 dB", True)
    assert rows["VAE, temporal score of its pans, least"] == ("0.97", True)
    assert rows["Last frame against the ideal warp, SSIM, mean"] == ("0.80", True)
    assert rows["Sharpness kept at frame 40, over the ideal warp's"] == ("0.70", False)
    assert rows["Unevenness of motion, mean"] == ("0.10", True)
    assert rows["Temporal score, median"] == ("0.90", True)


def test_the_block_replaces_the_one_before(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n<!-- {BLOCK}: begin -->\nold\n<!-- {BLOCK}: end -->\nafter\n")
    for _ in range(2):
        write_block(page, BLOCK, markdown(FIGURES, "49 frames."))
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| push in | 0 of 1 | pan left |") == 1
    assert text.count("| nano | 30.00 | 0.900 | 0.70 | 4.00 |") == 1


def test_a_page_without_a_place_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("# Title\n")
    with pytest.raises(MissingFileError, match="no place"):
        write_block(tmp_path / "page.md", BLOCK, "block")


def test_the_ideal_frame_is_the_photograph_moved():
    photograph = np.random.default_rng(0).integers(0, 255, (48, 72, 3), np.uint8)
    still = ideal_frame(photograph, "static", 48)
    assert still.inside.all()
    assert np.array_equal(still.picture, photograph)
    moved = ideal_frame(photograph, "pan left", 48)
    assert 0.7 < moved.inside.mean() < 0.8
    assert not moved.inside[:, 0].any()
    assert moved.seen[:, 0].all()
    assert not moved.seen[:, -1].any()


def test_sharpness_kept_is_that_of_the_ideal_warp_or_less():
    small = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    photograph = cv2.resize(small, (144, 96), interpolation=cv2.INTER_CUBIC)
    ideal = np.stack([ideal_frame(photograph, "push in", t).picture for t in range(49)])
    assert sharpness_kept(photograph, "push in", ideal) == pytest.approx(1.0, rel=1e-6)
    soft = np.stack([ideal[0], *[cv2.GaussianBlur(frame, (0, 0), 3) for frame in ideal[1:]]])
    assert sharpness_kept(photograph, "push in", soft) < 0.8


def test_psnr_of_a_known_error():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black + 255) == pytest.approx(0.0)
    assert psnr(black, black + 25) == pytest.approx(20.17, abs=0.01)


def test_photographs_of_a_folder(tmp_path, photograph):
    assert [name for name, _ in read_photographs(photograph.parent)][4:] == ["photograph"]
    assert len(read_photographs(None)) == 4
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingFileError, match="no photographs"):
        read_photographs(tmp_path / "none")


def test_settings_that_are_left_open_are_the_models():
    usual = find_model("nano").defaults
    wanted = (usual.num_inference_steps, usual.guidance_scale, usual.num_frames, "float32")
    assert tuple(settings_of(OPEN).values()) == wanted
    assert settings_of(OPEN | {"guidance_scale": 0.0, "num_frames": 9})["guidance_scale"] == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [({"num_inference_steps": 0}, "greater than or equal to 1"),
     ({"num_inference_steps": 61}, "take 60"), ({"num_frames": 13}, "9 and 17"),
     ({"num_frames": 0}, "greater than or equal to 1"),
     ({"guidance_scale": -1.0}, "greater than or equal to 0"),
     ({"dtype": "float16"}, "float32 or bfloat16"), ({"dtype": "bf16"}, "dtype")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(BadInputError, match=words):
        settings_of(OPEN | given)


class Same:
    """A VAE that keeps everything."""

    def encode(self, x):
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: x))

    def decode(self, z):
        return SimpleNamespace(sample=z)


def test_each_way_of_enlarging_is_held_against_the_true_frames():
    blobs = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    photograph = cv2.resize(blobs, (192, 144), interpolation=cv2.INTER_CUBIC)
    figures = delivered(Same(), photograph, 64, 48)
    assert tuple(figures) == WAYS
    assert all(each.psnr > 25 and 0.5 < each.sharp < 1.5 for each in figures.values())
    assert figures["nano"] != figures["fast"] != figures["lanczos"]
    smaller = delivered(Same(), photograph[:120], 64, 48)
    assert smaller["lanczos"] != figures["lanczos"] and smaller["lanczos"].psnr > 25
