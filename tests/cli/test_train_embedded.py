"""The training command: clear refusals, and nothing written by them."""

import pytest
from typer.testing import CliRunner

from src.cli.train_embedded import train_embedded_app


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--minutes", "-1"], "0 or more"), (["--minutes", "nan"], "0 or more"),
     (["--sheets", "-1"], "0 or more"), (["--threads", "0"], "at least 1"),
     (["--threads", "-1", "--minutes", "0.01"], "at least 1"),
     (["--stage", "vae"], "decoder, text, transformer, words, all"),
     (["--config", "nowhere.yaml"], "does not exist"), (["--minutes", "0"], "no training run")],
)  # fmt: skip
def test_refusals(flags, words, home, capfd):
    result = CliRunner().invoke(train_embedded_app(), flags)
    said = result.output + "".join(capfd.readouterr())
    assert result.exit_code == 2
    assert words in said
    assert "Traceback" not in said
    assert not home.exists()
