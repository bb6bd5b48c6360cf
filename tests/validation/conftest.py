"""Accelerate keeps one precision a process; each test may choose its own."""

import pytest


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
