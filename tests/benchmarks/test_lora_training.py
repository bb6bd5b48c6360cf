"""The benchmark's large variant runs on any device with --small."""

import json
import sys

import pytest

from benchmarks import lora_training


@pytest.mark.parametrize("stage", [None, "guidance", "steps"])
def test_small(stage, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    given = ["--large", "--small", "--steps", "1", "--blocks", "1", "--out", str(out)]
    given += ["--stage", stage] if stage else []
    monkeypatch.setattr(sys, "argv", ["lora_training", *given])
    lora_training.main()
    result = json.loads(out.read_text("utf-8"))
    assert result["seconds_per_step"] > 0
    assert (result["recipe"], result["stage"]) == ("distill" if stage else "lora", stage)
    assert 0 < result["trainable_share"] < 0.1
    assert json.loads(capsys.readouterr().out) == result
