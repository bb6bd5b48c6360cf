"""The command for a borrowed card: rehearsed here, so that the minutes on one are spent on
measuring.
"""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from benchmarks import card, card_publish, card_rows, card_wheels
from benchmarks.card_run import Row, run_rows
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CONFIGS, REPOSITORY
from src.scenes.photographs import PACKED, pack_photographs

BARE = """
import json, runpy, sys
from importlib.machinery import PathFinder
LACKS = {"av", "imageio_ffmpeg", "numba", "typer", "rich", "skimage", "sqlalchemy", "fastapi",
         "torchvision", "matplotlib"}
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in LACKS else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
for flags in json.loads(sys.argv[1]):
    sys.argv = ["card", *flags]
    runpy.run_module("benchmarks.card", run_name="__main__")
"""
"""Commands on a machine that lacks what a bare one lacks, one after the other."""
NEEDS_TORCHAO = {"fp8", "int8"}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """Folders of what both parts leave, by their names."""
    out, packed = tmp_path_factory.mktemp("card"), tmp_path_factory.mktemp("packed") / "p.npz"
    commands = [
        ["--part", "nano", "--rehearse", "--minutes", "0.01", "--out", str(out / "nano")],
        ["--rehearse", "--minutes", "8", "--out", str(out / "measure")],
    ]
    places = {PACKED: str(pack_photographs(packed)), "NEWSREEL_HOME": str(out / "home")}
    done = subprocess.run(
        [sys.executable, "-c", BARE, json.dumps(commands)],
        cwd=REPOSITORY, capture_output=True, text=True, env=os.environ | places,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_every_row_is_rehearsed_on_a_machine_that_lacks_what_a_bare_one_lacks(rehearsed):
    out = rehearsed / "measure"
    found = json.loads((out / "card.json").read_bytes())
    failed = {name: row["error"] for name, row in found["rows"].items() if "error" in row}
    assert set(failed) <= NEEDS_TORCHAO, failed
    assert all(
        "torchao" in error or "Float8" in error or "fp8" in error.lower()
        for error in failed.values()
    ), failed
    rows = found["rows"]
    assert list(rows)[:3] == ["environment", "build", "stock"]
    assert rows["blocks"]["guided"] > 0
    assert rows["cache"]["all_skipped"] > 0
    assert rows["adapter"]["on_again"] > 0
    assert len(rows["training"]["step"]) == 3
    assert [path.name for path in out.iterdir()] == ["card.json"]


def test_the_embedded_model_is_rehearsed_there_too(rehearsed, monkeypatch):
    out = rehearsed / "nano"
    assert json.loads((out / "nano.json").read_bytes())["transformer_steps"] > 0
    assert {file.name for file in out.iterdir()} == {"nano.json", "nano.tar.00"}
    monkeypatch.setattr(sys, "argv", ["card", "--publish", str(out)])
    card.main()
    assert (out / "pipeline" / "model_index.json").is_file()


class Quiet:
    """A bench that measures nothing."""

    def start_row(self):
        pass

    def end_row(self):
        return {}

    def is_fatal(self, error):
        return "CUDA error" in str(error)


def fails(error):
    def run(bench, told):
        told["begun"] = 1
        raise error

    return run


def test_a_row_that_fails_leaves_its_figures_and_the_others_run(tmp_path):
    rows = (
        Row("one", 1, fails(ValueError("boom"))),
        Row("two", 1, lambda bench, told: told.update(x=2)),
    )  # fmt: skip
    run_rows(rows, Quiet(), tmp_path, time.monotonic() + 60, {"rehearsal": True})
    written = json.loads((tmp_path / "card.json").read_bytes())["rows"]
    assert (written["one"]["begun"], written["one"]["error"]) == (1, "ValueError: boom")
    assert written["two"]["x"] == 2


def test_after_a_failure_of_the_device_nothing_more_is_run(tmp_path):
    rows = (
        Row("one", 1, fails(RuntimeError("CUDA error: an illegal access"))),
        Row("two", 1, fails(ValueError("x"))),
    )
    found = run_rows(rows, Quiet(), tmp_path, time.monotonic() + 60, {"rehearsal": True})
    assert found["rows"]["two"] == {"error": "not run: the device failed in row one"}


def test_results_are_there_after_each_row_and_the_run_ends_in_time(tmp_path):
    seen = []

    def slow(bench, told):
        seen.append(json.loads((tmp_path / "card.json").read_bytes())["rows"]["one"])
        time.sleep(60)

    rows = (
        Row("one", 1, lambda bench, told: told.update(x=1)),
        Row("two", 3, slow),
        Row("three", 50, slow),
    )
    begin = time.monotonic()
    found = run_rows(rows, Quiet(), tmp_path, begin + 2, {"rehearsal": False})
    assert time.monotonic() - begin < 30
    assert seen[0]["x"] == 1
    assert found["rows"]["two"]["error"].startswith("stopped after 2 s, where about 3 s")
    assert found["rows"]["three"]["error"].startswith("not run: it takes about 50 s")


def test_a_row_that_takes_much_longer_than_expected_leaves_the_others_their_minutes(tmp_path):
    rows = (
        Row("one", 0.4, lambda bench, told: time.sleep(60)),
        Row("two", 1, lambda bench, told: told.update(x=2)),
    )
    begin = time.monotonic()
    found = run_rows(rows, Quiet(), tmp_path, begin + 300, {"rehearsal": False})
    assert time.monotonic() - begin < 30
    assert found["rows"]["one"]["error"].startswith("stopped after 1 s, where about 0 s")
    assert found["rows"]["two"]["x"] == 2


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["card", *map(str, flags)])
    with pytest.raises(SystemExit) as left:
        card.main()
    return left.value.code


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [((), "--out FOLDER is needed"), (("--out", "x", "--minutes", "0"), "--minutes is 0"),
     (("--out", "x"), "no CUDA device is visible here; --rehearse"),
     (("--publish", "nowhere"), "does not exist")],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(monkeypatch, capsys, flags, sentence):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(monkeypatch, *flags) == 2
    assert sentence in capsys.readouterr().err


@pytest.fixture
def results(tmp_path):
    """What a card might have written."""
    rows = {
        "environment": {"device": "a card", "seconds": 1.0},
        "decode": {"eager": 1.5, "seconds": 9.0, "peak_allocated_gb": 31.0,
                   "peak_reserved_gb": 33.5, "counted_gb": 31.5},
        "cache": {"all_skipped": 0.1, "seconds": 2.0, "peak_allocated_gb": 25.0,
                  "peak_reserved_gb": 26.0},
        "lean": {"error": "OutOfMemoryError: no", "peak_reserved_gb": 80.0},
    }  # fmt: skip
    file = tmp_path / "card.json"
    file.write_text(json.dumps({"rehearsal": False, "rows": rows}))
    return file


def test_figures_go_into_the_page_and_the_planners_file(results, tmp_path, monkeypatch):
    page, configs = tmp_path / "page.md", tmp_path / "configs"
    page.write_text(
        "".join(
            f"<!-- {name}: {end} -->\n" for name in ("card", "cards") for end in ("begin", "end")
        )
    )
    (configs / "models").mkdir(parents=True)
    name = "cogvideox-5b-i2v.yaml"
    (configs / "models" / name).write_text((CONFIGS / "models" / name).read_text())
    monkeypatch.setattr(card_publish.memory, "CONFIGS", configs)
    card_publish.publish(results, page)
    assert "  measured: {fast: 33500000000}\n" in (configs / "models" / name).read_text()
    text = page.read_text()
    assert "Measured on a card." in text
    assert "| decode | eager 1.5 | 31.00 | 33.50 | 31.50 |" in text
    assert "OutOfMemoryError: no" in text


@pytest.mark.parametrize(
    "text", ["[]", "no json", '{"rehearsal": true, "rows": {}}', '{"rehearsal": false, "rows": []}']
)
def test_a_rehearsal_or_another_file_is_not_published(tmp_path, text):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(BadInputError, match=r"card\.json"):
        card_publish.read(tmp_path / "card.json")
    with pytest.raises(MissingFileError):
        card_publish.read(tmp_path / "none.json")


def test_the_wheels_are_those_that_are_pinned(tmp_path, monkeypatch):
    calls = []

    def pip(command, **_):
        calls.append(command)
        (tmp_path / f"{len(calls)}.whl").write_bytes(b"x" * 100)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(card_wheels.subprocess, "run", pip)
    monkeypatch.setattr(
        card_wheels, "pack_photographs", lambda file: file.write_bytes(b"x" * 10**6)
    )
    assert "2 wheels, 1.0 MB" in card_wheels.collect(tmp_path)
    asked = {package for command in calls for package in command if "==" in package}
    pins = (REPOSITORY / "requirements.txt").read_text() + (
        REPOSITORY / "requirements-quantize.txt"
    ).read_text()
    assert asked <= set(pins.split())
    assert not {name for name in asked if name.startswith(("av==", "imageio", "opencv", "torch=="))}
    monkeypatch.setattr(card_wheels, "LIMIT", 150)
    with pytest.raises(BadInputError, match="is the limit"):
        card_wheels.collect(tmp_path)


def test_packages_that_cannot_be_fetched_are_one_sentence(tmp_path, monkeypatch):
    answer = subprocess.CompletedProcess(
        [], 1, "", "WARNING: x\nERROR: No matching distribution found for diffusers\n"
    )
    monkeypatch.setattr(card_wheels.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(BadInputError, match="No matching distribution"):
        card_wheels.collect(tmp_path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AssertionError(), "AssertionError"),
        (ImportError("no _C\nas said"), "no _C"),
        (BadInputError("of another torch"), "of another torch"),
    ],
)
def test_a_kernel_that_refuses_is_told_in_a_line(monkeypatch, error, told):
    def refuses(*_):
        raise error

    bench = SimpleNamespace(seconds=refuses)
    monkeypatch.setattr(card_rows, "call_of", refuses)
    assert card_rows._kernel_seconds(bench, "sage", []) == f"refused: {told}"
