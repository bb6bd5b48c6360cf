"""The precision of a run is settled once."""

import itertools

import torch

from src.training import precision


def test_a_machine_that_is_busy_now_and_then_has_one_answer(monkeypatch):
    times = itertools.cycle([2.0, 1.0, 1.0, 1.0])  # float32 against bfloat16: twice as long, then equal
    monkeypatch.setattr(precision, "_seconds", lambda *_: next(times))
    precision.bf16_is_fast.cache_clear()
    try:
        assert [precision.bf16_is_fast(torch.device("cpu")) for _ in range(4)] == [True] * 4
    finally:
        precision.bf16_is_fast.cache_clear()
