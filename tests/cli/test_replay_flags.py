"""A replay runs the manifest's own plan: a flag that it would ignore is refused instead."""

import pytest

from src.cli.inference import inference_app


@pytest.mark.parametrize(
    "flags", [["--dry-run"], ["--seed", "3"], ["--no-score"], ["--no-compile"], ["--fit", "pad"]]
)
def test_a_flag_that_a_replay_would_ignore_is_refused(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        inference_app("optimized")(["--replay", "nope.json", *flags])
    assert stop.value.code == 2
    assert f"{flags[0]} does not go with --replay" in capsys.readouterr().err


def test_a_flag_that_says_where_things_lie_now_is_not(capsys):
    with pytest.raises(SystemExit):
        inference_app("optimized")(["--replay", "nope.json", "--model", "tiny", "--device", "cpu"])
    assert "manifest nope.json does not exist" in capsys.readouterr().err
