"""Commands run in this process: what a person types costs no start of an interpreter here."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer

from src.catalog.upscalers import UpscalerSpec

WEIGHTS = UpscalerSpec.weights


def run_here(app: typer.Typer, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Exit code, standard output and standard error of a command with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        app([str(argument) for argument in arguments])
    code = stop.value.code
    return subprocess.CompletedProcess(
        arguments, code if isinstance(code, int) else 0, out.getvalue(), err.getvalue()
    )


def use_weights(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Every upscaler finds its files there, and takes them as they are."""
    patch.setattr(
        UpscalerSpec,
        "weights",
        lambda self, preset, scale, _=None, noisy=False: WEIGHTS(
            self, preset, scale, folder, noisy
        ),
    )
