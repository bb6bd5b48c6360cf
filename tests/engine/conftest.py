import pytest

from src.core.hardware import Hardware
from src.core.request import Request
from src.engine.generate import generate, plans_for, prepare


@pytest.fixture
def cpu() -> Hardware:
    return Hardware(device="cpu", name="a CPU", memory=16 << 30, free_memory=8 << 30, cpu_count=2)


@pytest.fixture
def request_for(tiny_folder, photograph):
    """A request for the tiny model; keyword arguments replace fields. Most tests need no score,
    which takes longest.
    """

    def make(**fields) -> Request:
        usual = {"input_image": photograph, "prompt": "pan left", "model": str(tiny_folder),
                 "seed": 1, "num_inference_steps": 2, "score": False}  # fmt: skip
        return Request(**usual | fields)

    return make


@pytest.fixture
def make(request_for, cpu):
    """Request fields in, result out."""

    def run(listener=lambda _: None, cancel=None, sessions=None, **fields):
        prepared = prepare(request_for(**fields))
        return generate(prepared, plans_for(prepared, cpu), cpu, listener, cancel, sessions)

    return run
