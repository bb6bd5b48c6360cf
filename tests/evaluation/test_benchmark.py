import csv
import json
import multiprocessing
import os
from functools import partial

import jsonschema
import numpy as np
import pytest

from src.core.errors import OutputError
from src.core.paths import REPOSITORY
from src.evaluation import bench_worker, benchmark
from src.evaluation.bench_report import append_csv, bench_table
from src.evaluation.summary import summary_schema
from src.metrics import temporal_pair
from tests.other_families import build_svd
from tests.pipelines.parallel.kit import PRELOAD

SCHEMA = REPOSITORY / "configs" / "schemas" / "project_summary.json"


def test_the_published_schema_is_ours():
    assert json.loads(SCHEMA.read_text("utf-8")) == json.loads(json.dumps(summary_schema()))


@pytest.fixture(scope="module")
def wordless(tmp_path_factory):
    """A Stable Video Diffusion: the baseline alone, and no words."""
    return build_svd(tmp_path_factory.mktemp("models") / "tiny-svd")


@pytest.fixture
def forked(monkeypatch):
    """Each process is one of its own still, but begins where its imports end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    monkeypatch.setattr(bench_worker.multiprocessing, "get_context", {"spawn": context}.get)
    monkeypatch.setattr(bench_worker, "_serve", partial(serve, dict(os.environ)))


def serve(environment, *given):
    """In the variables of this test, for the server may be of an earlier one. Clips are scored
    small, as in the tests' own processes.
    """
    os.environ.update(environment)
    temporal_pair.ANALYSIS_AREA = 90 * 60
    bench_worker._serve(*given)


@pytest.mark.usefixtures("forked")
def test_several_models_are_measured_in_one_run_each_in_the_modes_it_has(
    tiny_folder, wordless, photograph, tmp_path, capfd
):
    target, summary, page = tmp_path / "b.csv", tmp_path / "summary.json", tmp_path / "page.md"
    page.write_text("# Title\n<!-- cpu: begin -->\n<!-- cpu: end -->\n")
    with pytest.raises(SystemExit) as stopped:
        benchmark.benchmark_app()([
            "--input-image", str(photograph), "--prompt", "pan left",
            "--models", f"{tiny_folder}, {wordless}", "--num-inference-steps", "2",
            "--repeats", "1", "--warmup", "0", "--csv", str(target), "--summary", str(summary),
            "--page", str(page), "--device", "cpu", "--json", "--dtype", "float32",
        ])  # fmt: skip
    said = capfd.readouterr()
    assert stopped.value.code in (0, None), said.err
    rows = json.loads(said.out)["rows"]
    wanted = [
        *((tiny_folder.name, mode) for mode in ("baseline", "optimized", "equal")),
        (wordless.name, "baseline"),
    ]
    assert [(row["model"], row["mode"]) for row in rows] == wanted
    assert rows[2]["max_difference"] <= 2
    assert rows[1]["speedup"] > 0
    assert rows[0]["memory_share"] == 1
    assert 0 < rows[2]["memory_share"] < 2
    assert page.read_text("utf-8").count("| equal | ") == 1
    with target.open() as stream:
        assert [row["mode"] for row in csv.DictReader(stream)] == [mode for _, mode in wanted]
    snapshot = json.loads(summary.read_text("utf-8"))
    jsonschema.validate(snapshot, json.loads(SCHEMA.read_text("utf-8")))
    assert {artifact["name"] for artifact in snapshot["artifacts"]} == {"csv", "plot"}
    assert str(tmp_path) not in summary.read_text("utf-8")
    assert (tmp_path / "b.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--mode", "baseline", "--cache", "first_block"], "--cache does not apply to mode baseline"),
     (["--page", "nowhere.md"], "nowhere.md has no place for cpu"),
     (["--mode", "fast"], "baseline, optimized or both"),
     (["--models", "nano", "--model", "nano"], "give one of them"),
     (["--models", " , "], "names no model"),
     (["--models", "nano,none-such"], "none-such"),
     (["--models", "nano,svd-xt", "--mode", "optimized"], "svd-xt has no mode optimized"),
     (["--models", "nano,ltx-video"], "LTXV Open Weights"),
     (["--models", "nano,ltx-video", "--accept-licence"], "hf download Lightricks/LTX-Video")],
)  # fmt: skip
def test_what_cannot_be_is_known_before_anything_runs(flags, words, photograph, monkeypatch, capfd):
    monkeypatch.setattr(benchmark, "measure_requests", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(SystemExit) as stopped:
        benchmark.benchmark_app()(
            ["--input-image", str(photograph), "--prompt", "pan left", *flags]
        )
    assert stopped.value.code == (3 if words.startswith("hf ") else 2)
    assert words in capfd.readouterr().err


def test_psnr():
    black, grey = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 16, np.uint8)
    assert benchmark.finite_psnr(black, black) is None
    assert benchmark.finite_psnr(black, grey) == pytest.approx(24.05, abs=0.01)


def test_a_csv_with_other_columns_is_not_mixed(tmp_path):
    path = tmp_path / "b.csv"
    append_csv(path, [{"a": 1, "b": {"x": 2}}])
    append_csv(path, [{"a": 3, "b": {"x": 4}}])
    assert len(path.read_text("utf-8").splitlines()) == 3
    with pytest.raises(OutputError, match="other columns"):
        append_csv(path, [{"a": 1}])


def test_the_table_is_aligned():
    row = dict.fromkeys(
        ("mode", "profile", "steps", "seconds_median", "speedup", "peak_rss_mb", "peak_vram_mb",
         "memory_share", "temporal_score", "max_difference", "model", "frames", "size"), 1.0
    ) | {"psnr_to_baseline": None}  # fmt: skip
    lines = bench_table([row]).splitlines()
    assert len(set(map(len, lines))) == 1 and "model" not in lines[0]
    of_two = bench_table([row, row | {"model": "another"}]).splitlines()
    assert len(set(map(len, of_two))) == 1 and of_two[0].split()[:3] == ["model", "frames", "size"]
