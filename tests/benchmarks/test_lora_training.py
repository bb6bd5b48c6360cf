"""The benchmark's large variant runs on any device with --small."""

import json
import sys

from benchmarks import lora_training


def test_small(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["lora_training", "--large", "--small", "--steps", "1", "--blocks", "1", "--out", str(out)],
    )
    lora_training.main()
    result = json.loads(out.read_text("utf-8"))
    assert result["seconds_per_step"] > 0
    assert 0 < result["trainable_share"] < 0.1
    assert json.loads(capsys.readouterr().out) == result
