"""Rows of `benchmarks.card` that move weights, on a stand-in for a card; nothing is compiled."""

import time

import pytest
import torch

from benchmarks.card_bench import Bench
from benchmarks.card_rows import ROWS
from benchmarks.card_run import run_rows
from src.pipelines import compiling
from tests.card_kit import CARD, OnCard
from tests.streams_kit import streams  # noqa: F401

MOVING = ("build", "adapter", "lean", "offload")


@pytest.mark.usefixtures("streams")
def test_rows_that_move_weights_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(compiling, "BACKEND", compiling.BACKEND)  # a rehearsal sets it
    rows = tuple(row for row in ROWS if row.name in MOVING)
    with OnCard():
        bench = Bench(True, tmp_path)
        bench.device = CARD
        found = run_rows(rows, bench, tmp_path, time.monotonic() + 600, {"rehearsal": True})
    assert list(found["rows"]) == list(MOVING)
    assert [row["error"] for row in found["rows"].values() if "error" in row] == []
