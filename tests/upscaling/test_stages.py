import threading

import pytest

from src.upscaling.stages import run_stages


def collect(into):
    return lambda items: into.extend(items)


def test_order_is_kept():
    out = []
    run_stages(range(50), lambda n: iter((n, -n)), collect(out), (1, 2))
    assert out == [value for n in range(50) for value in (n, -n)]


@pytest.mark.parametrize("stage", ["source", "work", "sink"])
def test_an_error_of_any_stage_stops_all_and_is_raised(stage):
    def endless():
        n = 0
        while True:
            if stage == "source" and n == 5:
                raise OSError("source")
            yield n
            n += 1

    def work(n):
        if stage == "work" and n == 5:
            raise OSError("work")
        yield n

    def sink(items):
        for n in items:
            if stage == "sink" and n == 5:
                raise OSError("sink")

    before = threading.active_count()
    with pytest.raises(OSError, match=stage):
        run_stages(endless(), work, sink, (1, 1))
    assert threading.active_count() == before


def test_stages_overlap():
    """The first result is written before the last item is read."""
    written = threading.Event()

    def source():
        yield from range(3)
        assert written.wait(10)
        yield 3

    def sink(items):
        for _ in items:
            written.set()

    run_stages(source(), lambda n: iter([n]), sink, (1, 1))
