"""The GPU benchmark runs on a tiny architecture here, so that the script itself is known to work."""

import json
import subprocess
import sys

from src.core.paths import REPOSITORY


def test_the_script_measures_every_profile_of_this_device(tmp_path):
    command = [sys.executable, "-m", "benchmarks.generation_gpu", "--out", str(tmp_path), "--small", "--steps", "2"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "generation_gpu.json").read_text("utf-8"))
    stock, *ours = table["rows"]
    assert stock["profile"] == "stock"
    assert stock["full_steps"] == 50
    assert [row["profile"] for row in ours]
    assert all(row["extrapolated_seconds"] > row["fixed_seconds"] >= 0 for row in table["rows"] if "error" not in row)
    assert max(row["mean_difference_to_stock"] for row in ours if row["profile"] == "plain") < 0.01
