"""The table says what was measured, and where a bar is missed."""

import dataclasses

import numpy as np
import pytest

from src.catalog.models import find_model
from src.core.errors import BadInputError, MissingFileError
from src.evaluation.embedded import read_photographs, settings_of
from src.evaluation.embedded_figures import ClipFigures, Figures, ideal_last_frame, psnr
from src.evaluation.embedded_report import BLOCK, markdown, table
from src.evaluation.pages import write_block
from src.metrics.measured_move import MeasuredMove

OPEN = {"num_inference_steps": None, "guidance_scale": None, "num_frames": None, "dtype": None}
MOVE = MeasuredMove(right=1.0, down=0.0, growth=0.0, turn=0.0, mean_flow=0.05)
CLIP = ClipFigures("cat", "pan left", "pan left", MOVE, first_frame=26.0, content=21.0, score=0.9)
STILL = dataclasses.replace(CLIP, asked="static", measured="static")
FIGURES = Figures(
    reconstruction={"cat": [30.0, 29.0, 28.0, 27.0]},
    clips=[CLIP, STILL, dataclasses.replace(CLIP, asked="push in")],
    speeds=[{"photograph": "cat", "move": "pan left", "slow": 1.0, "medium": 2.0, "fast": 3.0}],
    guidance={"1": 1.0, "6": 2.0},
)


def test_bars():
    rows = {name: (value, reached) for name, _, value, reached in table(FIGURES)}
    assert rows["Measured move is the prompt's"] == ("67 %", False)
    assert rows['"static": mean flow at 720x480'] == ("0.15 px", True)
    assert rows["VAE reconstruction at rest and in motion, PSNR, mean"] == ("28.5 dB", True)
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


def test_a_page_without_a_place_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("# Title\n")
    with pytest.raises(MissingFileError, match="no place"):
        write_block(tmp_path / "page.md", BLOCK, "block")


def test_ideal_last_frame_is_the_photograph_moved():
    photograph = np.random.default_rng(0).integers(0, 255, (48, 72, 3), np.uint8)
    warped, mask = ideal_last_frame(photograph, "static", 49)
    assert mask.all()
    assert np.array_equal(warped, photograph)
    warped, mask = ideal_last_frame(photograph, "pan left", 49)
    assert 0.7 < mask.mean() < 0.8
    assert not mask[:, 0].any()


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
    [({"num_inference_steps": 0}, "greater than or equal to 1"), ({"num_inference_steps": 61}, "take 60"),
     ({"num_frames": 13}, "9 and 17"), ({"num_frames": 0}, "greater than or equal to 1"),
     ({"guidance_scale": -1.0}, "greater than or equal to 0"), ({"dtype": "float16"}, "float32 or bfloat16"),
     ({"dtype": "bf16"}, "dtype")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(BadInputError, match=words):
        settings_of(OPEN | given)
