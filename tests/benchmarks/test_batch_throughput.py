"""The benchmark of batches runs on the tiny model here,
so that the script itself is known to work.
"""

import json
import sys

import pytest

from benchmarks.batch_throughput import as_table, main, report
from tests.warm_start import COLD


@pytest.mark.slow
def test_the_script_measures_both_sides(tiny_folder, tmp_path, monkeypatch, capsys):
    jobs, page = tmp_path / "jobs.json", tmp_path / "page.md"
    listed = [
        {"id": f"clip-{n}", "input_image": "data/samples/sample_image_1.png", "prompt": "pan left"}
        for n in range(3)
    ]
    settings = {"num_inference_steps": 3, "score": False, "device": "cpu"}
    jobs.write_text(json.dumps({"defaults": settings, "jobs": listed}))
    page.write_text("<!-- batch: begin -->\n<!-- batch: end -->\n")
    command = [
        "batch_throughput", "--jobs-file", str(jobs), "--model",
        str(tiny_folder), "--count", "2", "--separate", "1", "--page", str(page), "--",
        "--prompts-per-forward", "2",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv(COLD, "1")  # it waits for the processes itself, and asks what they took
    main()
    found = json.loads(capsys.readouterr().out)
    assert (found["jobs"], found["separate_measured"], found["extrapolated"]) == (2, 1, True)
    assert found["batch"]["peak_rss_mb"] > 100
    assert found["seconds_by_stage"]["batch"]["denoise"] > 0
    assert "extrapolated from 1 of them" in page.read_text("utf-8")


def test_the_ratio_is_of_throughputs():
    one = {"seconds": 20.0, "cpu_seconds": 30.0, "peak_rss_mb": 1000}
    found = report(12, [one, one | {"seconds": 22.0}], one | {"seconds": 100.8}, {})
    assert found["ratio"] == 2.5
    assert found["separate_seconds_for_all"] == 252.0
    assert "2.50 times" in as_table(found)
