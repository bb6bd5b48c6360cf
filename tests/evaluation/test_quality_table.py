import json
from dataclasses import replace

import pytest

from src.core.errors import BadInputError, MissingFileError
from src.evaluation import quality_rows, quality_table
from src.evaluation.embedded import read_photographs
from src.evaluation.pages import markdown_table, write_block
from src.evaluation.quality_rows import ROWS, comparands, find_rows
from src.evaluation.quality_table import make_bench, make_scenes, quality_app, write_page

BLOCK = "<!-- quality: begin -->\nold\n<!-- quality: end -->\n"


@pytest.fixture
def values(tiny_folder, photograph, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n{BLOCK}after\n")
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    photograph.rename(photographs / "one.png")
    return {
        "model": str(tiny_folder),
        "device": "cpu",
        "num_frames": 9,
        "photographs": photographs,
        "docs": page,
    }


def run(values, tmp_path, **more):
    options = [
        part
        for name, value in (values | more).items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    quality_app()(
        [*options, "--results", str(tmp_path / "q.json"), "--quiet"], standalone_mode=False
    )
    return {row["row"]: row for row in json.loads((tmp_path / "q.json").read_text("utf-8"))}


@pytest.fixture
def short(monkeypatch):
    """A handful of steps, so that the rows are quick; the names stay."""
    rows = {"steps-50": {"num_inference_steps": 6}, "default": {"num_inference_steps": 3}}
    rows |= {
        "first_block-0.1": {"cache": "first_block=0.1", "num_inference_steps": 3},
        "steps-28": {"num_inference_steps": 6},
    }
    for name, changes in rows.items():
        monkeypatch.setitem(ROWS, name, changes)


def test_rows_are_measured_in_slices_and_kept(values, tmp_path, short):
    run(values, tmp_path, rows="steps-50", clips=1)
    rows = run(values, tmp_path, rows="first_block-0.1,steps-28", clips=1, directions=1)
    assert list(rows) == ["steps-50", "steps-28", "first_block-0.1"]
    assert rows["steps-50"]["psnr_to_reference"] is None
    assert rows["steps-28"]["psnr_to_reference"] > 100  # the same plan gives the same frames
    assert rows["first_block-0.1"]["psnr_to_uncached"] > 0
    assert (rows["first_block-0.1"]["clips"], rows["first_block-0.1"]["compared"]) == (2, 1)
    text = values["docs"].read_text("utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("after\n")
    assert "| steps-28 | " in text
    assert "old" not in text


def test_rows_of_other_weights_are_dropped(values, tmp_path, short, monkeypatch):
    run(values, tmp_path, rows="steps-50", clips=1)
    monkeypatch.setattr(quality_rows, "weights_key", lambda weights: "other")
    assert list(run(values, tmp_path, rows="default", clips=1)) == ["default"]


def test_rows_of_older_defaults_are_dropped(values):
    bench = make_bench(values, values["docs"].parent)
    row = {"row": "guidance-6-28", "weights": quality_rows.weights_key(bench.weights)}
    assert bench.keeps(row | {"settings": bench.settings("guidance-6-28")})
    assert not bench.keeps(row | {"settings": "8 steps, guidance 1, 49 frames"})
    assert not bench.keeps(row | {"row": "a row of an older table"})


@pytest.mark.parametrize("flags", [{"clips": 0}, {"directions": -1}])
def test_no_clips_are_refused(values, tmp_path, flags, capfd):
    with pytest.raises(SystemExit):
        run(values, tmp_path, rows="default", **flags)
    assert "--clips must be at least 1" in capfd.readouterr().err


def test_scenes_show_many_moves_and_none_twice(values):
    bench = make_bench(values, values["docs"].parent)
    scenes = make_scenes(bench, values["photographs"], 8)
    assert len({scene.move for scene in scenes}) == 8
    every = 8 * len(read_photographs(values["photographs"]))
    assert (
        len(
            {(scene.name, scene.move) for scene in make_scenes(bench, values["photographs"], every)}
        )
        == every
    )
    with pytest.raises(BadInputError, match=f"{every + 1} clips are more"):
        make_scenes(bench, values["photographs"], every + 1)


def test_every_row_has_a_plan_of_its_own(values):
    bench = make_bench(values | {"model": "nano", "num_frames": None}, values["docs"].parent)
    bench = replace(bench, hardware=bench.hardware.model_copy(update={"quantizer": True}))
    scene = make_scenes(bench, values["photographs"], 1)[0]
    plans = {name: bench.plan(scene, changes).digest() for name, changes in ROWS.items()}
    assert len(set(plans.values())) == len(plans)


def test_what_a_row_is_compared_with():
    assert dict(comparands("steps-50")) == {}
    assert dict(comparands("steps-16")) == {"to_reference": ROWS["steps-50"]}
    assert dict(comparands("taylorseer-3-28"))["to_uncached"] == {"num_inference_steps": 28}


def test_unknown_rows_are_named():
    with pytest.raises(BadInputError, match="'steps-3'; known: steps-50"):
        find_rows("default,steps-3")
    assert find_rows(None) == list(ROWS)


def test_a_page_without_the_marks_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("# Title\n")
    with pytest.raises(MissingFileError, match="no place for quality"):
        write_page(tmp_path / "page.md", [])
    (tmp_path / "page.md").write_text(BLOCK)
    write_block(tmp_path / "page.md", "quality", markdown_table(("a", "b"), [(1.234, None)]))
    assert "| 1.23 | - |" in (tmp_path / "page.md").read_text("utf-8")


def test_a_wrong_page_is_known_before_anything_is_measured(values, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(quality_table, "_measure", lambda *_: pytest.fail("it was measured"))
    values["docs"].write_text("# Title\n")
    with pytest.raises(SystemExit):
        run(values, tmp_path, rows="default", clips=1)
    assert "no place for quality" in capfd.readouterr().err
